"""Pictures of a run: learning curves, errors, calibration, spectrograms and timelines.

Every function saves one PNG without needing a display. With ``show=True`` its figure is also kept for
:func:`show_all`, which opens all kept figures in windows.
"""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
import warnings
from collections.abc import Sequence

import matplotlib
import matplotlib.image
import matplotlib.ticker
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..errors import RunError
from ..features.log_mel import SMALLEST_POWER, band_centres
from ..files import atomic_path
from ..settings import CLASS_NAMES, NO_SPEECH
from .metrics import CALIBRATION_BINS, coverage, reliability
from .ranking import equal_error_rate
from .scores import ClipScore, Spans

# Okabe & Ito (2008): told apart by colour-blind readers, and by their brightness on a grey printout.
REAL_COLOUR = "#0072B2"
FAKE_COLOUR = "#D55E00"
OTHER_COLOUR = "#009E73"
_GREY = "#555555"
_PAUSE_COLOUR = "#BBBBBB"

_DPI = 100
_SHOWN_DB = 80
_LEAST_PEAK_DB = 10 * math.log10(SMALLEST_POWER) + _SHOWN_DB
"""Of a picture: digital silence is dark even where there is nothing louder."""
_STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
    "figure.constrained_layout.use": True,
}


def plot_learning_curves(csv_log_path: str | os.PathLike, out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw loss and verdict accuracy of every epoch, and mark the epoch whose network was kept.

    Parameters
    ----------
    csv_log_path
        What Keras' ``CSVLogger`` wrote: ``epoch``, and whichever of ``loss``, ``val_loss``, ``verdict_accuracy``,
        ``val_verdict_accuracy``, ``val_verdict_macro_f1``, ``val_smoothed_macro_f1`` and ``learning_rate`` there are.
    out_path
        PNG to write.

    Raises
    ------
    RunError
        When the log cannot be read or is no log.
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
    with matplotlib.rc_context(_STYLE):
        figure, entries = _figure(10, 4.3, show), {}
        for axes, (title, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            drawn = False
            for (column, name), look in zip(curves, looks, strict=False):
                if column in log and np.isfinite(log[column]).any():
                    # A lone epoch makes no line, so mark the points while they are few.
                    axes.plot(epochs, log[column], label=name, marker="o" if len(epochs) < 15 else "", ms=4, **look)
                    drawn = True
            for index, epoch in enumerate(lowered):
                name = "learning rate lowered" if not index else None
                axes.axvline(epoch, color=_GREY, lw=1, ls=":", zorder=0, label=name)
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
                _say(axes, "not in the log")
        figure.legend(handles=list(entries.values()), loc="outside lower center", ncols=3, frameon=False)
        _save(figure, out_path)


def _read_log(path: pathlib.Path) -> dict:
    """Columns of a CSVLogger file; what is no number (Keras leaves cells empty) becomes NaN."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if any(row.values())]
    except OSError as error:
        raise RunError(
            f"The training log {path} cannot be read ({error.strerror or error}); start the command again."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is not a training log: {error}") from error
    if not rows or "epoch" not in rows[0]:
        raise RunError(f"{path} is not a training log, or no epoch was finished")
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def plot_confusion_matrix(metrics: dict, out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw counts, and shares of each true class, from what :func:`deepfake_audio.evaluation.metrics.evaluate`
    returned."""
    counts = np.array(metrics["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.4, 5.0, show)
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
        _save(figure, out_path)


def plot_det(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw the detection error trade-off of Real against everything else (score ``1 - p_real``), and mark the EER.

    Both axes are stretched by the normal quantile function, as in Martin et al. (1997), "The DET curve in assessment
    of detection task performance". Rates under half a clip cannot be drawn there and are shown at half a clip.
    """
    from scipy.stats import norm
    from sklearn.metrics import roc_curve

    spoof = np.array([score.label != "Real" for score in scores], dtype=bool)
    ranking = np.array([1 - score.probabilities[0] for score in scores])
    rate = equal_error_rate(spoof, ranking)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.4, 5.2, show)
        axes = figure.subplots()
        lowest = 0.01
        if rate is None:
            _say(axes, "needs Real clips and others")
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
        axes.plot(edges, edges, color=_GREY, lw=1, ls=":", zorder=0)
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
        _save(figure, out_path)


def plot_reliability(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw how often decisions of each confidence are right, over how many clips have that confidence."""
    bins = reliability(scores)
    middles = [(entry["low"] + entry["high"]) / 2 for entry in bins]
    error = sum(entry["n"] * abs(entry["accuracy"] - entry["confidence"]) for entry in bins) / len(scores)
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.4, 5.2, show)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=_GREY, lw=1, ls=":", label="honest: as often right as confident")
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
        bars = lower.bar(middles, [entry["n"] for entry in bins], 0.92 / CALIBRATION_BINS, color=_GREY)
        lower.bar_label(bars, fontsize=9, padding=1)
        lower.xaxis.set_major_formatter(percent)
        lower.set(xlabel="confidence", ylabel="clips", yticks=())
        lower.margins(y=0.25)  # room for the numbers
        lower.spines["left"].set_visible(False)
        figure.align_ylabels()
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)
        _save(figure, out_path)


def plot_coverage(scores: Sequence[ClipScore], out_path: str | os.PathLike, show: bool = False) -> None:
    """Draw the accuracy of the answers that are left when the least confident ones are withheld."""
    share, accuracy = coverage(scores)
    answered = np.mean([score.verdict in CLASS_NAMES for score in scores])
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.4, 4.2, show)
        axes = figure.subplots()
        first = min(len(share) - 1, 9)  # the share of right ones among fewer than ten clips jumps about
        axes.plot(share[first:], accuracy[first:], color=FAKE_COLOUR, lw=2)
        axes.grid(alpha=0.3)
        axes.axvline(answered, color=_GREY, ls="--", lw=1, label="answered at the checkpoint's threshold")
        axes.xaxis.set_major_formatter(_percent_ticks())
        axes.yaxis.set_major_formatter(_percent_ticks())
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="clips answered, most confident first")
        axes.set(ylabel="share of right decisions", title="What does withholding answers buy?")
        figure.legend(loc="outside lower center", frameon=False, fontsize=10)
        _save(figure, out_path)


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
    log_mel
        Shape (frames, mel_bands), dB, at least one frame. Shown relative to its loudest point.
    hop_seconds
        Distance between two frames of `log_mel`.
    true_spans
        Spans in seconds that really are fake; None when nobody knows, which leaves out their bar.
    predicted_spans
        Spans in seconds that the detector calls fake.
    frame_probabilities, frame_seconds
        Probability of fake for each timeline frame, and the length of one.
    title
        Name of the clip and its verdict, say.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band; the lowest starts at 0 Hz.
    fake_threshold
        Frames at or above this are called fake.
    """
    seconds = len(log_mel) * hop_seconds
    bars = {"detector": predicted_spans} if true_spans is None else {"truth": true_spans, "detector": predicted_spans}
    with matplotlib.rc_context(_STYLE):
        figure = _figure(10, 5.6, show)
        grid = figure.add_gridspec(3, 2, height_ratios=(5, 2.6, 0.6 * len(bars)), width_ratios=(60, 1))
        upper = figure.add_subplot(grid[0, 0])
        middle = figure.add_subplot(grid[1, 0], sharex=upper)
        lower = figure.add_subplot(grid[2, 0], sharex=upper)

        image = _draw_mel(upper, log_mel, hop_seconds, highest_hz)
        figure.colorbar(image, cax=figure.add_subplot(grid[0, 1]), label="dB under the peak")
        upper.set_title(_shorten(title, 62), loc="left")

        _draw_probabilities(middle, frame_probabilities, frame_seconds, fake_threshold)

        for row, spans in enumerate(bars.values()):
            _draw_bar(lower, spans, seconds, len(bars) - 1 - row)
        lower.set(ylim=(-0.5, len(bars) - 0.5), xlim=(0, seconds), xlabel="time in seconds")
        lower.set_yticks(range(len(bars)), list(bars)[::-1])
        lower.tick_params(axis="y", length=0)
        lower.spines[:].set_visible(False)
        for axes in (upper, middle):
            axes.tick_params(labelbottom=False)
        figure.align_ylabels([upper, middle])
        upper.legend(
            handles=_span_patches(),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=2,
            frameon=False,
            borderaxespad=0.1,
        )
        _save(figure, out_path)


def plot_recording(
    spectrogram: tuple[np.ndarray, float],
    waveform: tuple[np.ndarray, float],
    timeline: tuple[Sequence[float], float],
    segments: Sequence[dict],
    seconds: float,
    title: str,
    out_path: str | os.PathLike,
    highest_hz: float,
    fake_threshold: float,
) -> None:
    """Draw a judged recording: waveform, mel-spectrogram, probability of fake, and the segments under them.

    Parameters
    ----------
    spectrogram, waveform
        Columns and the seconds between them, from :class:`deepfake_audio.features.draw.Glimpse`.
    timeline
        Probabilities of fake, and the seconds between them.
    segments
        ``start``, ``end`` and ``label`` of each segment; none where nothing was judged.
    seconds
        Length of the recording.
    title
        Name and verdict.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band.
    fake_threshold
        Timeline frames at or above this are called fake.
    """
    with matplotlib.rc_context(_STYLE):
        figure = _figure(10, 6.4, show=False)
        grid = figure.add_gridspec(4, 2, height_ratios=(1.8, 5, 2.4, 0.6), width_ratios=(60, 1))
        wave = figure.add_subplot(grid[0, 0])
        mel, middle, lower = (figure.add_subplot(grid[row, 0], sharex=wave) for row in (1, 2, 3))
        extremes, column_seconds = waveform
        times = (np.arange(len(extremes)) + 0.5) * column_seconds
        wave.fill_between(times, *extremes.T, color=_GREY, lw=0.5)
        loudest = max(1e-3, float(np.abs(extremes).max(initial=0.0)))
        wave.set(ylim=(-1.05 * loudest, 1.05 * loudest), yticks=[], ylabel="wave")
        wave.set_title(_shorten(title, 74), loc="left")
        wave.spines["left"].set_visible(False)
        image = _draw_mel(mel, *spectrogram, highest_hz)
        figure.colorbar(image, cax=figure.add_subplot(grid[1, 1]), label="dB under the peak")
        _draw_probabilities(middle, *timeline, fake_threshold)
        fakes, pauses = (
            [(s["start"], s["end"]) for s in segments if s["label"] == label] for label in ("Fake", NO_SPEECH)
        )
        _draw_bar(lower, fakes, seconds, 0)
        pauses = pauses if segments else [(0.0, seconds)]
        lower.broken_barh([(start, end - start) for start, end in pauses], (-0.35, 0.7), color=_PAUSE_COLOUR, lw=0)
        lower.set(ylim=(-0.5, 0.5), yticks=[], xlim=(0, seconds), xlabel="time in seconds")
        lower.spines[:].set_visible(False)
        for axes in (wave, mel, middle):
            axes.tick_params(labelbottom=False)
        figure.align_ylabels([wave, mel, middle])
        figure.legend(
            handles=[*_span_patches(), Patch(facecolor=_PAUSE_COLOUR, label="no speech")],
            loc="outside lower right", ncols=3, frameon=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            # Names may be in any script; what the font lacks becomes a box, which the reader sees without a warning.
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            _save(figure, out_path)


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
    with matplotlib.rc_context(_STYLE):
        figure = _figure(10, 3.9, show)
        strips, pictures = figure.subplots(2, len(samples), squeeze=False, sharex="col", height_ratios=(1, 14))
        image = None
        for column, (title, log_mel, hop_seconds, fake_spans) in enumerate(samples):
            strip, picture = strips[column], pictures[column]
            seconds = len(log_mel) * hop_seconds
            _draw_bar(strip, fake_spans, seconds, 0, height=1)
            strip.set(ylim=(-0.5, 0.5), yticks=[])
            strip.set_title(_shorten(title, 100 // len(samples)))
            strip.tick_params(bottom=False, labelbottom=False)
            strip.spines[:].set_visible(False)
            image = _draw_mel(picture, log_mel, hop_seconds, highest_hz)
            for boundary in (b for span in fake_spans for b in span if hop_seconds < b < seconds - hop_seconds):
                picture.axvline(boundary, color="white", lw=1.3, ls="--")
            picture.set(xlim=(0, seconds), xlabel="time in seconds")
            if column:
                picture.set_ylabel("")
                picture.tick_params(labelleft=False)
        if image is not None:
            figure.colorbar(image, ax=pictures, label="dB under the peak", aspect=30, pad=0.01)
        figure.legend(handles=_span_patches(), loc="outside lower right", ncols=2, frameon=False)
        _save(figure, out_path)


def show_all() -> bool:
    """Open every figure that was plotted with ``show=True``, and wait until the windows are closed.

    Returns
    -------
    bool
        False when this machine has no display: nothing was opened, the saved files are all there is.
    """
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == "agg":
        pyplot.close("all")
        return False
    pyplot.show()
    return True


def _figure(width_inches: float, height_inches: float, show: bool) -> Figure:
    if show:
        # Only pyplot can open windows, and only importing it looks for a display.
        from matplotlib import pyplot

        return pyplot.figure(figsize=(width_inches, height_inches), dpi=_DPI)
    figure = Figure(figsize=(width_inches, height_inches), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: str | os.PathLike) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png", metadata={"Software": None})


def mel_ticks(bands: int, highest_hz: float) -> list[tuple[float, float]]:
    """Return frequencies in kHz worth a label, and where they lie on an axis whose bands stand at whole numbers."""
    centres_hz = band_centres(bands, 0, highest_hz)
    ticks_khz = [tick for tick in (0.25, 0.5, 1, 2, 4, 8) if tick * 1000 <= highest_hz]
    places = np.interp(np.array(ticks_khz) * 1000, [0, *centres_hz, highest_hz], [-0.5, *range(bands), bands - 0.5])
    return list(zip(ticks_khz, places.tolist(), strict=True))


def mel_picture(log_mel: np.ndarray) -> bytes:
    """Return a PNG of a spectrogram of shape (columns, mel_bands) in dB: a pixel per column and band, no axes."""
    log_mel = np.asarray(log_mel, dtype=np.float32)
    picture = io.BytesIO()
    matplotlib.image.imsave(
        picture, _under_peak(log_mel).T, vmin=-_SHOWN_DB, vmax=0, cmap="magma", origin="lower", format="png",
        metadata={"Software": None},
    )  # fmt: skip
    return picture.getvalue()


def _under_peak(log_mel: np.ndarray) -> np.ndarray:
    """Return levels relative to the loudest one."""
    # So one colour bar is true of several spectrograms, and a silent frame far under the speech does not wash it out.
    return log_mel - max(log_mel.max(), _LEAST_PEAK_DB)


def _draw_mel(axes, log_mel: np.ndarray, hop_seconds: float, highest_hz: float):
    """Put a spectrogram of shape (frames, mel_bands) into `axes`, with ticks in kHz; returns the image."""
    log_mel = np.asarray(log_mel, dtype=np.float32)
    frames, bands = log_mel.shape
    image = axes.imshow(
        _under_peak(log_mel).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        extent=(0, frames * hop_seconds, -0.5, bands - 0.5),
        vmin=-_SHOWN_DB,
        vmax=0,
    )
    axes.set_yticks(*zip(*((place, f"{tick:g}") for tick, place in mel_ticks(bands, highest_hz)), strict=True))
    axes.set(ylabel="kHz (mel scale)", ylim=(-0.5, bands - 0.5))
    return image


def _draw_probabilities(axes, frame_probabilities: Sequence[float], frame_seconds: float, threshold: float) -> None:
    """Draw the probability of fake over time, with what lies above the threshold filled."""
    probabilities = np.asarray(frame_probabilities, dtype=float)
    edges = np.arange(len(probabilities) + 1) * frame_seconds
    if len(probabilities):
        axes.stairs(probabilities, edges, color="black", lw=1.4)
        called = np.where(probabilities >= threshold, probabilities, np.nan)
        axes.stairs(called, edges, baseline=threshold, fill=True, color=FAKE_COLOUR, alpha=0.55)
        axes.axhline(threshold, color=FAKE_COLOUR, lw=1.2, ls="--")
        # Outside the axes, where no curve can run through the words.
        axes.annotate(
            "threshold",
            (1, threshold),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=FAKE_COLOUR,
            annotation_clip=False,
            in_layout=False,  # there is room under the colour bar
        )
    else:
        _say(axes, "no timeline")
    axes.set(ylim=(-0.02, 1.02), ylabel="p(fake)", yticks=(0, 0.5, 1))
    axes.grid(alpha=0.3)


def _draw_bar(axes, fake_spans: Spans, seconds: float, row: float, height: float = 0.7) -> None:
    """One bar over the whole clip: real, with fake spans hatched so that colour is not the only sign."""
    axes.broken_barh([(0, seconds)], (row - height / 2, height), color=REAL_COLOUR, lw=0)
    spans = [(start, min(end, seconds) - start) for start, end in fake_spans if start < seconds]
    if spans:
        axes.broken_barh(spans, (row - height / 2, height), facecolor=FAKE_COLOUR, edgecolor="white", hatch="///", lw=0)


def _span_patches() -> list[Patch]:
    return [
        Patch(facecolor=REAL_COLOUR, label="real"),
        Patch(facecolor=FAKE_COLOUR, edgecolor="white", hatch="///", lw=0, label="fake"),
    ]


def _percent_ticks() -> matplotlib.ticker.PercentFormatter:
    return matplotlib.ticker.PercentFormatter(1, decimals=0, symbol=" %")


def _say(axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY)


def _shorten(text: str, most: int) -> str:
    if len(text) > most:
        # What follows a name, its verdict say, stays whole; of the name both ends, where its number may stand.
        name, colon, rest = text.rpartition(": ")
        room = most - len(colon + rest) - 3
        if not colon or room < 10:
            name, colon, rest, room = text, "", "", most - 3
        text = f"{name[: room // 2]}...{name[len(name) - (room - room // 2) :]}{colon}{rest}"
    # A $ would start mathematics, and unbalanced ones raise.
    return text.replace("$", r"\$")
