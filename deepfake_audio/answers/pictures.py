"""One PNG per recording: waveform, mel-spectrogram, probability of fake, and segments on one time axis."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.patches import Patch

from .. import console
from ..errors import OutputError
from ..features.axes import (
    GREY,
    PAUSE_COLOUR,
    STYLE,
    UNCLEAR_COLOUR,
    draw_bar,
    draw_mel,
    draw_probabilities,
    new_figure,
    save,
    shorten,
    span_patches,
)
from ..features.draw import Glimpse, thin_out
from ..settings import NO_SPEECH, UNCLEAR, Settings
from ..text import clean
from .writer import Writer

SHORTEST_SECONDS = 0.001
"""A single sample is drawn as if it lasted so long."""

NEUTRAL_COLOURS = {UNCLEAR: UNCLEAR_COLOUR, NO_SPEECH: PAUSE_COLOUR}
"""Of segments that say neither real nor fake."""

MOST_NAME_BYTES = 80
"""Of a picture's name: disks that count letters and disks that count bytes take it."""

DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever is behind the dot."""


class Pictures(Writer):
    """A folder of PNG files, one per recording.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """

    listen_seconds = 0.0

    def __init__(self, folder: Path, settings: Settings):
        self.folder, self.settings = Path(folder), settings
        self._taken: set[str] = set()
        try:  # before anything is judged
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{folder}' cannot be written ({error.strerror}): name another folder.") from error

    def add(self, result: dict, glimpse: Glimpse | None = None) -> None:
        """Draw one recording and say in which file, unless it could not be judged."""
        if glimpse is not None:
            console.say(f"Picture: {clean(self.draw(result, glimpse))}")

    def draw(self, result: dict, glimpse: Glimpse) -> Path:
        """Draw one recording and return the file; errors as for :meth:`add`."""
        # Names that every disk takes, however odd the recording's own is.
        name = re.sub(r"[^\w .()+-]", "_", clean(Path(result["path"]).stem)).encode()[:MOST_NAME_BYTES]
        name = name.decode(errors="ignore").strip(" .") or "recording"
        if DEVICE_NAME.fullmatch(name):
            name = f"_{name}"
        if name.lower() in self._taken:
            name = f"{name}-{result['sha256'][:12]}"
        self._taken.add(name.lower())
        path = self.folder / f"{name}.png"
        values, group = thin_out(glimpse.timeline)
        verdict, confidence = result["verdict"], result["confidence"]
        answer = verdict if verdict == NO_SPEECH else f"{verdict}, confidence {confidence:.2f}"
        try:
            plot_recording(
                glimpse.spectrogram(),
                glimpse.waveform(),
                (values if result["segments"] else (), group * self.settings.label_seconds),
                result["segments"],
                max(result["seconds"], SHORTEST_SECONDS),
                f"{clean(Path(result['path']).name)}: {answer}",
                path,
                self.settings.features.highest_hz,
                self.settings.decision.fake_threshold,
            )
        except OSError as error:
            raise OutputError(f"'{path}' cannot be written ({error.strerror}): name another folder.") from error
        return path


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
    spectrogram, waveform, timeline
        Columns, or probabilities of fake, and the seconds between them.
    segments
        ``start``, ``end`` and ``label`` of each segment; none where nothing was judged.
    out_path
        PNG to write, 1000 pixels wide.
    highest_hz
        Upper edge of the highest mel band.
    fake_threshold
        Timeline frames at or above this are called fake.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(10, 6.4)
        grid = figure.add_gridspec(4, 2, height_ratios=(1.8, 5, 2.4, 0.6), width_ratios=(60, 1))
        wave = figure.add_subplot(grid[0, 0])
        mel, middle, lower = (figure.add_subplot(grid[row, 0], sharex=wave) for row in (1, 2, 3))
        extremes, column_seconds = waveform
        times = (np.arange(len(extremes)) + 0.5) * column_seconds
        wave.fill_between(times, *extremes.T, color=GREY, lw=0.5)
        loudest = max(1e-3, float(np.abs(extremes).max(initial=0.0)))
        wave.set(ylim=(-1.05 * loudest, 1.05 * loudest), yticks=[], ylabel="wave")
        wave.set_title(shorten(title, 74), loc="left")
        wave.spines["left"].set_visible(False)
        image = draw_mel(mel, *spectrogram, highest_hz)
        figure.colorbar(image, cax=figure.add_subplot(grid[1, 1]), label="dB under the peak")
        draw_probabilities(middle, *timeline, fake_threshold)
        draw_bar(lower, [(s["start"], s["end"]) for s in segments if s["label"] == "Fake"], seconds, 0)
        for label, colour in NEUTRAL_COLOURS.items():
            spans = [(s["start"], s["end"] - s["start"]) for s in segments if s["label"] == label]
            if label == NO_SPEECH and not segments:
                spans = [(0.0, seconds)]
            lower.broken_barh(spans, (-0.35, 0.7), color=colour, lw=0)
        lower.set(ylim=(-0.5, 0.5), yticks=[], xlim=(0, seconds), xlabel="time in seconds")
        lower.spines[:].set_visible(False)
        for axes in (wave, mel, middle):
            axes.tick_params(labelbottom=False)
        figure.align_ylabels([wave, mel, middle])
        figure.legend(
            handles=[*span_patches(), *(Patch(facecolor=c, label=name.lower()) for name, c in NEUTRAL_COLOURS.items())],
            loc="outside lower right", ncols=4, frameon=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            # Names may be in any script; what the font lacks becomes a box, which the reader sees without a warning.
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            save(figure, out_path)
