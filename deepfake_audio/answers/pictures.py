"""One PNG per recording: waveform, mel-spectrogram, probability of fake, and segments on one time axis."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from .. import console
from ..evaluation.plots import plot_timeline
from ..features.draw import Glimpse, thin_out
from ..settings import NO_SPEECH, Settings
from ..text import clean
from .writer import Writer, writing

SHORTEST_SECONDS = 0.001
"""A single sample is drawn as if it lasted so long."""

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
        with writing(self.folder, "folder"):  # before anything is judged
            self.folder.mkdir(parents=True, exist_ok=True)

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
        seconds, segments = max(result["seconds"], SHORTEST_SECONDS), result["segments"]
        verdict, confidence = result["verdict"], result["confidence"]
        answer = verdict if verdict == NO_SPEECH else f"{verdict}, confidence {confidence:.2f}"
        with writing(path, "folder"), warnings.catch_warnings():
            # Names may be in any script; what the font lacks becomes a box, which says enough.
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            plot_timeline(
                glimpse.spectrogram(),
                (values if segments else (), group * self.settings.label_seconds),
                {"": [(s["start"], s["end"], s["label"]) for s in segments] or [(0.0, seconds, NO_SPEECH)]},
                seconds,
                f"{clean(Path(result['path']).name)}: {answer}",
                path,
                self.settings.features.highest_hz,
                self.settings.decision.fake_threshold,
                glimpse.waveform(),
            )
        return path
