"""What pictures have in common: colours and style, a spectrogram, a probability and a bar of segments on axes.

Pictures are drawn without a display; of matplotlib's windows nothing is loaded.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..files import atomic_path
from .log_mel import SMALLEST_POWER, band_centres

# Okabe & Ito (2008): told apart by colour-blind readers, and by their brightness on a grey printout.
REAL_COLOUR = "#0072B2"
FAKE_COLOUR = "#D55E00"
OTHER_COLOUR = "#009E73"
GREY = "#555555"
UNCLEAR_COLOUR = "#8C8C8C"
PAUSE_COLOUR = "#D9D9D9"

DPI = 100
_SHOWN_DB = 80
_LEAST_PEAK_DB = 10 * math.log10(SMALLEST_POWER) + _SHOWN_DB
"""Of a picture: digital silence is dark even where there is nothing louder."""
_MEL_COLOURS = {"vmin": -_SHOWN_DB, "vmax": 0, "cmap": "magma", "origin": "lower"}
STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
    "figure.constrained_layout.use": True,
}


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})


def mel_ticks(bands: int, highest_hz: float) -> list[tuple[float, float]]:
    """Return frequencies in kHz worth a label, and where they lie on an axis whose bands stand at whole numbers."""
    centres_hz = band_centres(bands, 0, highest_hz)
    ticks_khz = [tick for tick in (0.25, 0.5, 1, 2, 4, 8) if tick * 1000 <= highest_hz]
    places = np.interp(np.array(ticks_khz) * 1000, [0, *centres_hz, highest_hz], [-0.5, *range(bands), bands - 0.5])
    return list(zip(ticks_khz, places.tolist(), strict=True))


def mel_picture(log_mel: np.ndarray) -> bytes:
    """Return a PNG of a spectrogram of shape (columns, mel_bands) in dB: a pixel per column and band, no axes."""
    picture = io.BytesIO()
    matplotlib.image.imsave(picture, _under_peak(log_mel).T, format="png", metadata={"Software": None}, **_MEL_COLOURS)
    return picture.getvalue()


def _under_peak(log_mel: np.ndarray) -> np.ndarray:
    """Return levels relative to the loudest one, float32."""
    log_mel = np.asarray(log_mel, dtype=np.float32)
    # So one colour bar is true of several spectrograms, and a silent frame far under the speech does not wash it out.
    return log_mel - max(log_mel.max(), _LEAST_PEAK_DB)


def draw_mel(axes, log_mel: np.ndarray, hop_seconds: float, highest_hz: float):
    """Put a spectrogram of shape (frames, mel_bands) into `axes`, with ticks in kHz; returns the image."""
    frames, bands = log_mel.shape
    extent = (0, frames * hop_seconds, -0.5, bands - 0.5)
    image = axes.imshow(_under_peak(log_mel).T, aspect="auto", interpolation="nearest", extent=extent, **_MEL_COLOURS)
    axes.set_yticks(*zip(*((place, f"{tick:g}") for tick, place in mel_ticks(bands, highest_hz)), strict=True))
    axes.set(ylabel="kHz (mel scale)", ylim=(-0.5, bands - 0.5))
    return image


def draw_probabilities(axes, frame_probabilities: Sequence[float], frame_seconds: float, threshold: float) -> None:
    """Draw the probability of fake over time, with what lies above the threshold filled."""
    probabilities = np.asarray(frame_probabilities, dtype=float)
    edges = np.arange(len(probabilities) + 1) * frame_seconds
    if len(probabilities):
        axes.stairs(probabilities, edges, color="black", lw=1.4)
        called = np.where(probabilities >= threshold, probabilities, np.nan)
        axes.stairs(called, edges, baseline=threshold, fill=True, color=FAKE_COLOUR, alpha=0.55)
        axes.axhline(threshold, color=FAKE_COLOUR, lw=1.2, ls="--")
        # Outside the axes, where no curve can run through the words.
        beside = {"transform": axes.get_yaxis_transform(), "in_layout": False}  # there is room under the colour bar
        axes.text(1.01, threshold, "threshold", va="center", fontsize=9, color=FAKE_COLOUR, **beside)
    else:
        say(axes, "no timeline")
    axes.set(ylim=(-0.02, 1.02), ylabel="p(fake)", yticks=(0, 0.5, 1))
    axes.grid(alpha=0.3)


def draw_bar(axes, fake_spans: Sequence[tuple[float, float]], seconds: float, row: float, height: float = 0.7) -> None:
    """One bar over the whole clip: real, with fake spans hatched so that colour is not the only sign."""
    axes.broken_barh([(0, seconds)], (row - height / 2, height), color=REAL_COLOUR, lw=0)
    spans = [(start, min(end, seconds) - start) for start, end in fake_spans if start < seconds]
    if spans:
        axes.broken_barh(spans, (row - height / 2, height), facecolor=FAKE_COLOUR, edgecolor="white", hatch="///", lw=0)


def span_patches() -> list[Patch]:
    """Return the legend of :func:`draw_bar`."""
    return [
        Patch(facecolor=REAL_COLOUR, label="real"),
        Patch(facecolor=FAKE_COLOUR, edgecolor="white", hatch="///", lw=0, label="fake"),
    ]


def say(axes, text: str) -> None:
    """Write words where there is nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def shorten(text: str, most: int) -> str:
    """Return a title of at most so many letters, ready for matplotlib."""
    if len(text) > most:
        # What follows a name, its verdict say, stays whole; of the name both ends, where its number may stand.
        name, colon, rest = text.rpartition(": ")
        room = most - len(colon + rest) - 3
        if not colon or room < 10:
            name, colon, rest, room = text, "", "", most - 3
        text = f"{name[: room // 2]}...{name[len(name) - (room - room // 2) :]}{colon}{rest}"
    # A $ would start mathematics, and unbalanced ones raise.
    return text.replace("$", r"\$")
