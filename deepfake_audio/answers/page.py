"""One page per question: a self-contained HTML report that opens from disk, needs no network and can be printed.

Everything a page shows is inside it: pictures and sound as data addresses, one style sheet and one script whose
hashes are the only ones that the page's own Content-Security-Policy lets through. Where things stand is said by
``page.html``, which escapes whatever comes from outside, file names above all.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from pathlib import Path

from markupsafe import Markup

from ..errors import OutputError
from ..features.axes import mel_picture, mel_ticks
from ..features.draw import Glimpse, thin_out
from ..files import atomic_path
from ..settings import NO_SPEECH, UNCERTAIN, UNCLEAR, Settings
from ..templates import render
from .pictures import SHORTEST_SECONDS
from .table import Summary, claim
from .wording import LIMITS, NEXT_STEP, clock, explain, most_suspicious, named_channels, shares
from .writer import Writer, writing

HERE = Path(__file__).parent

LISTEN_SECONDS = 600.0
"""How much of the beginning of a recording goes into a page."""

LISTEN_SECONDS_IN_ALL = 3600.0
"""About 20 MB of MP3; browsers on phones give up on pages much larger."""

MOST_PICTURES = 100
"""Recordings that get a section of their own; the table at the top lists all."""

MOST_SEGMENTS = 300
"""Of one recording: the longest are shown."""

SIGNS = {
    "Real": "\u25cf", "Fake": "\u25b2", "Hybrid": "\u25c6",
    UNCERTAIN: "?", UNCLEAR: "~", NO_SPEECH: "\u2013", "Error": "!",
}  # fmt: skip
"""Shapes beside the colours, for who cannot tell those apart."""


class Report(Writer):
    """A page about the recordings that are added, written at the end of a ``with`` block.

    Without a path, only :meth:`page` is wanted. OutputError if another scan is writing it.
    """

    listen_seconds = LISTEN_SECONDS

    def __init__(self, path: Path | None, settings: Settings, model: dict[str, str]):
        self.path, self.settings, self.model = path, settings, model
        self._lock = None if path is None else claim(path)
        self._recordings: list[dict] = []
        self._rows: list[dict] = []
        self._summary = Summary()
        self._heard_seconds = 0.0

    def add(self, result: dict, glimpse: Glimpse | None = None) -> None:
        """Add one answer; without a glimpse (for what could not be judged) it gets a line in the table only."""
        self._summary.add(result)
        row = result | {"number": None}
        if glimpse is not None and len(self._recordings) < MOST_PICTURES:
            row["number"], mp3 = len(self._rows) + 1, glimpse.mp3()
            if self._heard_seconds + glimpse.seconds_to_listen > LISTEN_SECONDS_IN_ALL:
                mp3 = b""
            else:
                self._heard_seconds += glimpse.seconds_to_listen
            self._recordings.append(row | _recording(result, glimpse, mp3, self.settings))
        self._rows.append(row)

    def __exit__(self, kind, *_) -> None:
        try:
            if self._rows and kind is None:
                self.write()
            elif self._rows and not self.path.exists():
                with contextlib.suppress(OutputError):  # the first error is the one to tell
                    self.write()
        finally:
            if self._lock is not None:
                self._lock.release()

    def write(self) -> None:
        """Write the page; OutputError if it cannot be written."""
        with writing(self.path), atomic_path(self.path) as temporary:
            temporary.write_text(self.page(), encoding="utf-8", newline="\n")

    def page(self) -> str:
        """Return the page."""
        style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
        policy = (
            "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
        )
        files = self._summary.files
        counts = ", ".join(f"{files[verdict]} {verdict}" for verdict in SIGNS if files[verdict])
        return render(
            HERE / "page.html",
            style=Markup(style),
            script=Markup(script),
            policy=Markup(policy),
            signs=SIGNS,
            clock=clock,
            shares=shares,
            named_channels=named_channels,
            model=self.model,
            rows=self._rows,
            recordings=self._recordings,
            several=len(self._rows) > 1,
            holds_sound=any(recording["sound"] for recording in self._recordings),
            counts=f"{files.total()} recordings: {counts}",
            most_pictures=MOST_PICTURES,
            left_out=len(self._rows) - len(self._recordings) - files["Error"],
            limits=LIMITS,
        )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode("ascii"))


def _recording(result: dict, glimpse: Glimpse, mp3: bytes, settings: Settings) -> dict:
    """What the page shows of one recording besides its answer, by the names that ``page.html`` has for it."""
    verdict, seconds = result["verdict"], max(result["seconds"], SHORTEST_SECONDS)
    sentences = " ".join([*explain(result), *result["notes"]])
    if verdict != NO_SPEECH:
        sentences += (
            f" The model gives {shares(result)}. Of answers with a confidence of "
            f"{result['confidence']:.2f} about {round(10 * result['confidence'])} in 10 were right on clips like "
            "those it was trained on."
        )
    heard = glimpse.seconds_to_listen if mp3 else 0.0
    note = "The sound is not in this page, which would grow too large."
    if mp3:
        note = f"The sound is compressed to {settings.features.sample_rate // 1000} kHz mono MP3 for this page."
        if heard < seconds - 0.05:
            note = f"Only the first {clock(heard, seconds)} of {clock(seconds, seconds)} can be played here. {note}"
    segments = result["segments"]
    if len(segments) > MOST_SEGMENTS:
        least = sorted((s["end"] - s["start"] for s in segments), reverse=True)[MOST_SEGMENTS - 1]
        segments = [s for s in segments if s["end"] - s["start"] >= least][:MOST_SEGMENTS]
        note += f" Of {len(result['segments'])} segments the {len(segments)} longest are shown."
    return {
        "file": Path(result["path"]).name,
        "sentences": f"{sentences} {NEXT_STEP[verdict]}",
        "suspicious": most_suspicious(result),
        "segments": segments,
        "heard": heard,
        "sound": _base64(mp3),
        "note": note,
        "seconds": seconds,
        **_curves(glimpse, bool(segments), seconds, settings),
    }


def _curves(glimpse: Glimpse, judged: bool, seconds: float, settings: Settings) -> dict:
    """Spectrogram and probability for one SVG with the segments, so that they share their time axis to the pixel."""
    mel, column_seconds = glimpse.spectrogram()
    ticks = [
        {"words": f"{khz:g} kHz", "y": f"{min(146.0, max(11.0, 154 - 150 * (band + 0.5) / mel.shape[1])):.1f}"}
        for khz, band in mel_ticks(mel.shape[1], settings.features.highest_hz)
        if khz >= 0.5  # no room for the words
    ]
    values, group = thin_out(glimpse.timeline) if judged else ((), 1)
    step = group * settings.label_seconds
    points = (
        f"{1000 * min(1.0, (index + 0.5) * step / seconds):.2f},{44 * (1 - value):.2f}"
        for index, value in enumerate(values)
    )
    return {
        "picture": _base64(mel_picture(mel)),
        # The last frame reaches past the end of the recording.
        "picture_percent": f"{100 * max(1.0, len(mel) * column_seconds / seconds):.3f}",
        "ticks": ticks,
        "points": " ".join(points),
        "threshold_y": f"{156 + 44 * (1 - settings.decision.fake_threshold):.1f}",
    }
