"""Pictures of a run: learning curves, errors, calibration, spectrograms and timelines.

Every function saves one PNG without needing a display. With ``show=True`` its figure is also kept for
:func:`show_all`, which opens all kept figures in windows.
"""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Sequence

import matplotlib
import matplotlib.ticker
import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_curve

from ..features.axes import (
    FAKE_COLOUR,
    GREY,
    OTHER_COLOUR,
    REAL_COLOUR,
    STYLE,
    draw_bar,
    draw_mel,
    draw_probabilities,
    new_figure,
    save,
    say,
    shorten,
    span_patches,
)
from ..settings import CLASS_NAMES
from .metrics import CALIBRATION_BINS, coverage, reliability
from .ranking import equal_error_rate
from .scores import ClipScore, Spans


def plot_learning_curves(csv_log_path: str | os.PathLike, out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw loss and verdict accuracy of every epoch, and mark the epoch whose network was kept.

    Parameters
    ----------
    csv_log_path
        What Keras' ``CSVLogger`` wrote: ``epoch``, and whichever of ``loss``, ``val_loss``, ``verdict_accuracy``,
        ``val_verdict_accuracy``, ``val_verdict_macro_f1``, ``val_smoothed_macro_f1`` and ``learning_rate`` there are.
    out_path
        PNG to write.
    """
    log = _read_log(pathlib.Path(csv_log_path))
    epochs = log["epoch"] + 1  # Keras counts from 0
    panels = {
        "Loss": (("loss", "training"), ("val_loss", "validation")),
        "Verdict": (
            ("verdict_accuracy", "training"),
            ("val_verdict_accuracy", "validation"),
            ("val_verdict_macro_f1", "validation, macro F1"),
        ),
    }
    smoothed = log.get("val_smoothed_macro_f1", np.zeros(0))
    kept = epochs[np.nanargmax(smoothed)] if np.isfinite(smoothed).any() else None
    looks = ({"color": REAL_COLOUR, "ls": "--"}, {"color": FAKE_COLOUR}, {"color": OTHER_COLOUR, "ls": "-."})
    rates = log.get("learning_rate", np.zeros(0))
    lowered = epochs[1:][np.diff(rates) < 0] - 0.5 if len(rates) else []
    with matplotlib.rc_context(STYLE):
        figure, entries = new_figure(10, 4.3, show), {}
        for axes, (title, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            drawn = False
            for (column, name), look in zip(curves, looks, strict=False):
                if column in log and np.isfinite(log[column]).any():
                    # A lone epoch makes no line, so mark the points while they are few.
                    axes.plot(epochs, log[column], label=name, marker="o" if len(epochs) < 15 else "", ms=4, **look)
                    drawn = True
            for index, epoch in enumerate(lowered):
                name = "learning rate lowered" if not index else None
                axes.axvline(epoch, color=GREY, lw=1, ls=":", zorder=0, label=name)
            if kept is not None:
                name = f"epoch {kept:.0f}, kept: best smoothed macro F1"
                axes.axvline(kept, color="black", lw=1.2, ls=(0, (6, 2)), zorder=0, label=name)
            axes.set(title=title, xlabel="epoch", xlim=(epochs.min() - 0.5, epochs.max() + 0.5))
            if title == "Loss":
                axes.set_ylim(bottom=0)
                axes.set_ylabel("loss of all outputs together")
            else:
                axes.set_ylim(0, 1.02)
                axes.set_ylabel("accuracy, or macro F1, of windows")
                axes.yaxis.set_major_formatter(_percent_ticks())
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            entries |= {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
            if not drawn:
                say(axes, "not in the log")
        figure.legend(handles=list(entries.values()), loc="outside lower center", ncols=3, frameon=False)
        save(figure, out_path)


def _read_log(path: pathlib.Path) -> dict:
    """Return the columns of a CSVLogger file; what Keras leaves empty becomes NaN."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def plot_confusion_matrix(metrics: dict, out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw counts, and shares of each true class, from what :func:`deepfake_audio.evaluation.metrics.evaluate`
    returned."""
    counts = np.array(metrics["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4, 5.0, show)
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            share = f"{100 * shares[row, column]:.1f} %" if counts[row].sum() else "-"
            colour = "white" if shares[row, column] > 0.6 else "black"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, f"{count}\n{share}", ha="center", va="center", color=colour, weight=weight)
        ticks = np.arange(len(CLASS_NAMES))
        axes.set_xticks(ticks, CLASS_NAMES)
        axes.set_yticks(
            ticks, [f"{name}\n(n = {count})" for name, count in zip(CLASS_NAMES, counts.sum(1), strict=True)]
        )
        axes.set(xlabel="most probable class", ylabel="true class")
        axes.set_title("Test clips by their most probable class,\nthose answered Uncertain, too")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        save(figure, out_path)


def plot_det(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw the detection error trade-off of Real against everything else (score ``1 - p_real``), and mark the EER.

    Both axes are stretched by the normal quantile function, as in Martin et al. (1997), "The DET curve in assessment
    of detection task performance". Rates under half a clip cannot be drawn there and are shown at half a clip.
    """
    spoof = np.array([score.label != "Real" for score in scores], dtype=bool)
    ranking = np.array([1 - score.probabilities[0] for score in scores])
    rate = equal_error_rate(spoof, ranking)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4, 5.2, show)
        axes = figure.subplots()
        lowest = 0.01
        if rate is None:
            say(axes, "needs Real clips and others")
        else:
            half_a_clip = [0.5 / np.sum(~spoof), 0.5 / np.sum(spoof)]
            lowest = max(5e-4, min(lowest, *half_a_clip))
            false_alarms, hits, _ = roc_curve(spoof, ranking, drop_intermediate=False)
            sides = [
                norm.ppf(np.clip(side, floor, 1 - floor))
                for side, floor in zip((false_alarms, 1 - hits), half_a_clip, strict=True)
            ]
            axes.plot(*sides, color=REAL_COLOUR, lw=2, clip_on=True)
            place = norm.ppf(np.clip(rate, max(half_a_clip), 1 - max(half_a_clip)))
            axes.plot(place, place, "o", color=FAKE_COLOUR, ms=9, zorder=3)
            # Beside the dot, on the side of the diagonal where there is room for the words.
            left = rate > 0.25
            axes.annotate(
                f"EER {100 * rate:.1f} %",
                (place, place),
                xytext=(-14, -18) if left else (14, 10),
                textcoords="offset points",
                ha="right" if left else "left",
                weight="bold",
                color=FAKE_COLOUR,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        ticks = [tick for tick in (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8) if tick >= lowest]
        highest = 0.6 if rate is None or rate < 0.5 else 0.95
        ticks = [tick for tick in ticks if tick <= highest]
        edges = norm.ppf([lowest * 0.9, highest])
        axes.plot(edges, edges, color=GREY, lw=1, ls=":", zorder=0)
        axes.set(
            xlim=edges,
            ylim=edges,
            aspect="equal",
            xlabel="real clips called not real",
            ylabel="fake and hybrid clips called real",
            title="Detection error trade-off",
        )
        names = [f"{100 * tick:.3g} %" for tick in ticks]
        axes.set_xticks(norm.ppf(ticks), names)
        axes.set_yticks(norm.ppf(ticks), names)
        axes.grid(alpha=0.3)
        save(figure, out_path)


def plot_reliability(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw how often decisions of each confidence are right, over how many clips have that confidence."""
    bins = reliability(scores)
    middles = [(entry["low"] + entry["high"]) / 2 for entry in bins]
    error = sum(entry["n"] * abs(entry["accuracy"] - entry["confidence"]) for entry in bins) / len(scores)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4, 5.2, show)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":", label="honest: as often right as confident")
        upper.plot(
            [entry["confidence"] for entry in bins],
            [entry["accuracy"] for entry in bins],
            "o-",
            color=FAKE_COLOUR,
            ms=5,
            label="this model",
        )
        percent = _percent_ticks()
        upper.yaxis.set_major_formatter(percent)
        upper.set(xlim=(bins[0]["low"], 1), ylim=(0, 1.02), ylabel="share of right decisions")
        upper.set_title(f"Is the confidence honest? Error (ECE) {100 * error:.1f} %")
        upper.grid(alpha=0.3)
        bars = lower.bar(middles, [entry["n"] for entry in bins], 0.92 / CALIBRATION_BINS, color=GREY)
        lower.bar_label(bars, fontsize=9, padding=1)
        lower.xaxis.set_major_formatter(percent)
        lower.set(xlabel="confidence", ylabel="clips", yticks=())
        lower.margins(y=0.25)  # room for the numbers
        lower.spines["left"].set_visible(False)
        figure.align_ylabels()
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)
        save(figure, out_path)


def plot_coverage(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw the accuracy of the answers that are left when the least confident ones are withheld."""
    share, accuracy = coverage(scores)
    answered = np.mean([score.verdict in CLASS_NAMES for score in scores])
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4, 4.2, show)
        axes = figure.subplots()
        first = min(len(share) - 1, 9)  # the share of right ones among fewer than ten clips jumps about
        axes.plot(share[first:], accuracy[first:], color=FAKE_COLOUR, lw=2)
        axes.grid(alpha=0.3)
        axes.axvline(answered, color=GREY, ls="--", lw=1, label="answered at the checkpoint's threshold")
        axes.xaxis.set_major_formatter(_percent_ticks())
        axes.yaxis.set_major_formatter(_percent_ticks())
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="clips answered, most confident first")
        axes.set(ylabel="share of right decisions", title="What does withholding answers buy?")
        figure.legend(loc="outside lower center", frameon=False, fontsize=10)
        save(figure, out_path)


def plot_timeline(
    log_mel: np.ndarray,
    hop_seconds: float,
    true_spans: Spans | None,
    predicted_spans: Spans,
    frame_probabilities: Sequence[float],
    frame_seconds: float,
    title: str,
    out_path: str | os.PathLike,
    highest_hz: float = 8000,
    fake_threshold: float = 0.5,
    show: bool = False,
) -> None:
    """Draw a mel-spectrogram and, under it on the same time axis, what the detector makes of each moment.

    Parameters
    ----------
    log_mel, hop_seconds
        Shape (frames, mel_bands), dB, at least one frame, shown relative to its loudest point; distance of two frames.
    true_spans, predicted_spans
        Spans in seconds that really are fake (None when nobody knows), and that the detector calls fake.
    frame_probabilities, frame_seconds
        Probability of fake for each timeline frame, and the length of one.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band; the lowest starts at 0 Hz.
    fake_threshold
        Frames at or above this are called fake.
    """
    seconds = len(log_mel) * hop_seconds
    bars = {"detector": predicted_spans} if true_spans is None else {"truth": true_spans, "detector": predicted_spans}
    with matplotlib.rc_context(STYLE):
        figure = new_figure(10, 5.6, show)
        grid = figure.add_gridspec(3, 2, height_ratios=(5, 2.6, 0.6 * len(bars)), width_ratios=(60, 1))
        upper = figure.add_subplot(grid[0, 0])
        middle = figure.add_subplot(grid[1, 0], sharex=upper)
        lower = figure.add_subplot(grid[2, 0], sharex=upper)

        image = draw_mel(upper, log_mel, hop_seconds, highest_hz)
        figure.colorbar(image, cax=figure.add_subplot(grid[0, 1]), label="dB under the peak")
        upper.set_title(shorten(title, 62), loc="left")

        draw_probabilities(middle, frame_probabilities, frame_seconds, fake_threshold)

        for row, spans in enumerate(bars.values()):
            draw_bar(lower, spans, seconds, len(bars) - 1 - row)
        lower.set(ylim=(-0.5, len(bars) - 0.5), xlim=(0, seconds), xlabel="time in seconds")
        lower.set_yticks(range(len(bars)), list(bars)[::-1])
        lower.tick_params(axis="y", length=0)
        lower.spines[:].set_visible(False)
        for axes in (upper, middle):
            axes.tick_params(labelbottom=False)
        figure.align_ylabels([upper, middle])
        upper.legend(
            handles=span_patches(),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=2,
            frameon=False,
            borderaxespad=0.1,
        )
        save(figure, out_path)


def plot_mel_samples(
    samples: Sequence[tuple[str, np.ndarray, float, Spans]],
    out_path: str | os.PathLike,
    highest_hz: float = 8000,
    show: bool = False,
) -> None:
    """Draw mel-spectrograms side by side, each under a strip that says which spans are real and which fake.

    Parameters
    ----------
    samples
        For each picture: title, spectrogram of shape (frames, mel_bands) in dB, distance of its frames in seconds,
        and fake spans in seconds.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band; the lowest starts at 0 Hz.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(10, 3.9, show)
        strips, pictures = figure.subplots(2, len(samples), squeeze=False, sharex="col", height_ratios=(1, 14))
        image = None
        for column, (title, log_mel, hop_seconds, fake_spans) in enumerate(samples):
            strip, picture = strips[column], pictures[column]
            seconds = len(log_mel) * hop_seconds
            draw_bar(strip, fake_spans, seconds, 0, height=1)
            strip.set(ylim=(-0.5, 0.5), yticks=[])
            strip.set_title(shorten(title, 100 // len(samples)))
            strip.tick_params(bottom=False, labelbottom=False)
            strip.spines[:].set_visible(False)
            image = draw_mel(picture, log_mel, hop_seconds, highest_hz)
            for boundary in (b for span in fake_spans for b in span if hop_seconds < b < seconds - hop_seconds):
                picture.axvline(boundary, color="white", lw=1.3, ls="--")
            picture.set(xlim=(0, seconds), xlabel="time in seconds")
            if column:
                picture.set_ylabel("")
                picture.tick_params(labelleft=False)
        if image is not None:
            figure.colorbar(image, ax=pictures, label="dB under the peak", aspect=30, pad=0.01)
        figure.legend(handles=span_patches(), loc="outside lower right", ncols=2, frameon=False)
        save(figure, out_path)


def show_all() -> bool:
    """Open every figure that was plotted with ``show=True``, until it is closed; return False without a display."""
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == "agg":
        pyplot.close("all")
        return False
    pyplot.show()
    return True


def _percent_ticks() -> matplotlib.ticker.PercentFormatter:
    return matplotlib.ticker.PercentFormatter(1, decimals=0, symbol=" %")
