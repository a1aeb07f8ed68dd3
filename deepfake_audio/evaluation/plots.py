"""Pictures of runs and of recordings; every function saves one PNG, without needing a display."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..features.axes import (
    DPI,
    FAKE_COLOUR,
    GREY,
    OTHER_COLOUR,
    PAUSE_COLOUR,
    REAL_COLOUR,
    STYLE,
    UNCLEAR_COLOUR,
    draw_bar,
    draw_mel,
    draw_probabilities,
    save,
    say,
    shorten,
    span_patches,
)
from ..settings import CLASS_NAMES, NO_SPEECH, UNCLEAR
from .metrics import CALIBRATION_BINS, reliability
from .ranking import equal_error_rate
from .scores import ClipScore, Spans

PERCENT = PercentFormatter(1, decimals=0, symbol=" %")

NEUTRAL_COLOURS = {UNCLEAR: UNCLEAR_COLOUR, NO_SPEECH: PAUSE_COLOUR}
"""Of segments that say neither real nor fake."""


@contextlib.contextmanager
def picture(out_path: Path, width_inches: float, height_inches: float) -> Iterator[Figure]:
    """Give the block a figure to draw, and save it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width_inches, height_inches), dpi=DPI)
        yield figure
        save(figure, out_path)


def plot_learning_curves(log_path: Path, out_path: Path) -> None:
    """Draw loss and verdict accuracy of every epoch of Keras' CSV log, and mark the epoch whose network was kept."""
    log = np.atleast_1d(np.genfromtxt(log_path, delimiter=",", names=True, encoding="utf-8"))
    epochs = log["epoch"] + 1  # Keras counts from 0
    kept = epochs[np.nanargmax(log["val_smoothed_macro_f1"])]
    with picture(out_path, 10, 4.3) as figure:
        loss, verdict = figure.subplots(1, 2)
        marks = {"marker": "o" if len(epochs) < 15 else "", "ms": 4}  # a lone epoch makes no line
        for axes, column in ((loss, "loss"), (verdict, "verdict_accuracy")):
            axes.plot(epochs, log[column], label="training", color=REAL_COLOUR, ls="--", **marks)
            axes.plot(epochs, log[f"val_{column}"], label="validation", color=FAKE_COLOUR, **marks)
        macro_f1 = log["val_verdict_macro_f1"]
        verdict.plot(epochs, macro_f1, label="validation, macro F1", color=OTHER_COLOUR, ls="-.", **marks)
        for axes in (loss, verdict):
            name = f"epoch {kept:.0f}, kept: best smoothed macro F1"
            axes.axvline(kept, color="black", lw=1.2, ls=(0, (6, 2)), zorder=0, label=name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("epoch")
            axes.grid(alpha=0.3)
        loss.set(title="Loss", ylabel="loss of all outputs together", ylim=(0, None))
        verdict.set(title="Verdict", ylabel="accuracy, or macro F1, of windows", ylim=(0, 1.02))
        verdict.yaxis.set_major_formatter(PERCENT)
        figure.legend(handles=verdict.lines, loc="outside lower center", ncols=2, frameon=False)


def plot_confusion_matrix(metrics: dict, out_path: Path) -> None:
    """Draw counts, and shares of each true class, from what :func:`.metrics.evaluate` returned."""
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = np.array(metrics["confusion"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    with picture(out_path, 5.4, 5.0) as figure:
        axes = figure.subplots()
        drawn = ConfusionMatrixDisplay(shares).plot(ax=axes, cmap="Blues", colorbar=False, im_kw={"vmin": 0, "vmax": 1})
        for text, count, share in zip(drawn.text_.flat, counts.flat, shares.flat, strict=True):
            text.set_text(f"{count}\n{100 * share:.1f} %")
        rows = [f"{name}\n(n = {total})" for name, total in zip(CLASS_NAMES, totals.flat, strict=True)]
        axes.set(xticklabels=CLASS_NAMES, yticklabels=rows, xlabel="most probable class", ylabel="true class")
        axes.set_title("Test clips by their most probable class,\nthose answered Uncertain, too")


def plot_det(scores: Sequence[ClipScore], out_path: Path) -> None:
    """Draw the detection error trade-off of Real against everything else (score ``1 - p_real``), and mark the EER.

    On the axes of Martin et al. (1997), "The DET curve in assessment of detection task performance".
    """
    from scipy.stats import norm
    from sklearn.metrics import DetCurveDisplay

    spoof = [score.label != "Real" for score in scores]
    ranking = [1 - score.probabilities[0] for score in scores]
    rate = equal_error_rate(spoof, ranking)
    with picture(out_path, 5.4, 5.2) as figure:
        axes = figure.subplots()
        if rate is None:
            say(axes, "needs Real clips and others")
        else:
            DetCurveDisplay.from_predictions(spoof, ranking, ax=axes, name="this model", color=REAL_COLOUR, lw=2)
            place = norm.ppf(np.clip(rate, 1e-3, 1 - 1e-3))
            axes.plot(place, place, "o", color=FAKE_COLOUR, ms=9)
            offset = {"xytext": (14, 10), "textcoords": "offset points"}
            axes.annotate(f"EER {100 * rate:.1f} %", (place, place), weight="bold", color=FAKE_COLOUR, **offset)
            axes.get_legend().remove()
        axes.set(xlabel="real clips called not real", ylabel="fake and hybrid clips called real")
        axes.set_title("Detection error trade-off")
        axes.grid(alpha=0.3)


def plot_reliability(scores: Sequence[ClipScore], out_path: Path) -> None:
    """Draw how often decisions of each confidence are right, over how many clips have that confidence."""
    bins = reliability(scores)
    confidence, accuracy, counts = (
        np.array([entry[name] for entry in bins]) for name in ("confidence", "accuracy", "n")
    )
    middles = [(entry["low"] + entry["high"]) / 2 for entry in bins]
    error = counts @ np.abs(accuracy - confidence) / len(scores)
    with picture(out_path, 5.4, 5.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":", label="honest: as often right as confident")
        upper.plot(confidence, accuracy, "o-", color=FAKE_COLOUR, ms=5, label="this model")
        upper.set(xlim=(bins[0]["low"], 1), ylim=(0, 1.02), ylabel="share of right decisions")
        upper.set_title(f"Is the confidence honest? Error (ECE) {100 * error:.1f} %")
        upper.yaxis.set_major_formatter(PERCENT)
        upper.grid(alpha=0.3)
        bars = lower.bar(middles, counts, 0.92 / CALIBRATION_BINS, color=GREY)
        lower.bar_label(bars, fontsize=9, padding=1)
        lower.xaxis.set_major_formatter(PERCENT)
        lower.set(xlabel="confidence", ylabel="clips", yticks=())
        lower.margins(y=0.25)  # room for the numbers
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)


def plot_timeline(
    spectrogram: tuple[np.ndarray, float],
    timeline: tuple[Sequence[float], float],
    bars: Mapping[str, Sequence[tuple[float, float, str]]],
    seconds: float,
    title: str,
    out_path: Path,
    highest_hz: float,
    fake_threshold: float,
    waveform: tuple[np.ndarray, float] | None = None,
) -> None:
    """Draw a recording on one time axis: waveform if given, mel-spectrogram, probability of fake, bars of segments.

    Parameters
    ----------
    spectrogram, timeline, waveform
        Columns of shape (columns, mel_bands) in dB, probabilities of fake, lowest and highest sample of each column of
        shape (columns, 2); each with the seconds between two of them.
    bars
        Name of each bar, from the top, to start, end and label of its segments; what none of them covers is Real.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band; the lowest starts at 0 Hz.
    fake_threshold
        Timeline frames at or above this are called fake.
    """
    with picture(out_path, 10, 5.6 if waveform is None else 6.4) as figure:
        heights = [*([] if waveform is None else [1.8]), 5, 2.5, 0.6 * len(bars)]
        grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
        lower = figure.add_subplot(grid[-1, 0])
        upper = [figure.add_subplot(grid[row, 0], sharex=lower) for row in range(len(heights) - 1)]
        mel, probabilities = upper[-2:]
        if waveform is not None:
            _draw_waveform(upper[0], *waveform)
        upper[0].set_title(shorten(title, 74), loc="left")
        image = draw_mel(mel, *spectrogram, highest_hz)
        figure.colorbar(image, cax=figure.add_subplot(grid[-3, 1]), label="dB under the peak")
        draw_probabilities(probabilities, *timeline, fake_threshold)
        for row, segments in enumerate(reversed(bars.values())):
            draw_bar(lower, [segment[:2] for segment in segments if segment[2] == "Fake"], seconds, row)
            for label, colour in NEUTRAL_COLOURS.items():
                spans = [(start, end - start) for start, end, of in segments if of == label]
                lower.broken_barh(spans, (row - 0.35, 0.7), color=colour, lw=0)
        lower.set(ylim=(-0.5, len(bars) - 0.5), xlim=(0, seconds), xlabel="time in seconds")
        lower.set_yticks(range(len(bars)), reversed(bars))
        lower.tick_params(axis="y", length=0)
        lower.spines[:].set_visible(False)
        for axes in upper:
            axes.tick_params(labelbottom=False)
        figure.align_ylabels(upper)
        neutral = [Patch(facecolor=colour, label=label.lower()) for label, colour in NEUTRAL_COLOURS.items()]
        figure.legend(handles=[*span_patches(), *neutral], loc="outside lower right", ncols=4, frameon=False)


def _draw_waveform(axes, extremes: np.ndarray, column_seconds: float) -> None:
    times = (np.arange(len(extremes)) + 0.5) * column_seconds
    axes.fill_between(times, *extremes.T, color=GREY, lw=0.5)
    loudest = max(1e-3, float(np.abs(extremes).max(initial=0.0)))
    axes.set(ylim=(-1.05 * loudest, 1.05 * loudest), yticks=[], ylabel="wave")
    axes.spines["left"].set_visible(False)


def plot_mel_samples(
    samples: Sequence[tuple[str, np.ndarray, float, Spans]], out_path: Path, highest_hz: float = 8000
) -> None:
    """Draw mel-spectrograms side by side, each under a strip that says which spans are real and which fake.

    Parameters
    ----------
    samples
        For each picture: title, spectrogram of shape (frames, mel_bands) in dB, distance of its frames in seconds,
        and fake spans in seconds.
    out_path, highest_hz
        As for :func:`plot_timeline`.
    """
    with picture(out_path, 10, 3.9) as figure:
        axes = figure.subplots(2, len(samples), squeeze=False, sharex="col", height_ratios=(1, 14))
        for strip, mel, (title, log_mel, hop_seconds, fake_spans) in zip(*axes, samples, strict=True):
            seconds = len(log_mel) * hop_seconds
            draw_bar(strip, fake_spans, seconds, 0, height=1)
            strip.set(ylim=(-0.5, 0.5), yticks=[], title=title)
            strip.tick_params(bottom=False, labelbottom=False)
            strip.spines[:].set_visible(False)
            image = draw_mel(mel, log_mel, hop_seconds, highest_hz)
            for boundary in (b for span in fake_spans for b in span if hop_seconds < b < seconds - hop_seconds):
                mel.axvline(boundary, color="white", lw=1.3, ls="--")
            mel.set(xlim=(0, seconds), xlabel="time in seconds")
            mel.label_outer(remove_inner_ticks=False)
        figure.colorbar(image, ax=axes[1], label="dB under the peak", aspect=30, pad=0.01)
        figure.legend(handles=span_patches(), loc="outside lower right", ncols=2, frameon=False)
