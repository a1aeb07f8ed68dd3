"""One page per question: a self-contained HTML report that opens from disk, needs no network and can be printed.

Everything a page shows is inside it: pictures and sound as data addresses, one style sheet and one script whose
hashes are the only ones that the page's own Content-Security-Policy lets through. Whatever comes from outside, file
names above all, is escaped.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputError
from ..evaluation.plots import mel_picture, mel_ticks, plot_recording
from ..features.draw import Glimpse, thin_out
from ..files import atomic_path, has_leftovers, remove_leftovers
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, Settings
from ..text import clean
from .table import Summary, claim
from .wording import LIMITS, NEXT_STEP, explain

LISTEN_SECONDS = 600.0
"""How much of the beginning of a recording goes into a page."""

LISTEN_SECONDS_IN_ALL = 3600.0
"""About 20 MB of MP3; browsers on phones give up on pages much larger."""

MOST_PICTURES = 100
"""Recordings that get a section of their own; the table at the top lists all."""

MOST_SEGMENTS = 300
"""Of one recording: the longest are shown."""

SHORTEST_SECONDS = 0.001
"""A single sample is drawn as if it lasted so long."""

SIGNS = {"Real": "\u25cf", "Fake": "\u25b2", "Hybrid": "\u25c6", UNCERTAIN: "?", NO_SPEECH: "\u2013", "Error": "!"}
"""Shapes beside the colours, for who cannot tell those apart."""

_STYLE = """
:root { --real: #0072b2; --fake: #d55e00; --hybrid: #882e72; --grey: #595959; }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
article { border: 1px solid #ccc; border-radius: .5rem; padding: 1rem; margin: 1.5rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #ddd; vertical-align: top;
  overflow-wrap: normal; }
td.name { overflow-wrap: anywhere; min-width: 7rem; } table.segments { width: auto; }
.number { text-align: right; } td.number { white-space: nowrap; }
.verdict { font-weight: 700; white-space: nowrap; }
p.verdict { font-size: 1.35rem; margin: 0; white-space: normal; }
.Real { color: var(--real); } .Fake { color: #b34f00; } .Hybrid { color: var(--hybrid); }
.Uncertain, .No-speech, .Error { color: var(--grey); }
audio { width: 100%; margin: .5rem 0; }
figure { margin: .5rem 0; } figcaption, .small { font-size: .85rem; color: var(--grey); }
svg.timeline { display: block; width: 100%; height: 262px; }
svg text { font: 11px system-ui, sans-serif; fill: #333; }
svg text.on-dark { fill: #fff; stroke: #000; stroke-width: 2px; paint-order: stroke; }
rect.Real { fill: var(--real); } rect.Fake { fill: var(--fake); } rect.No-speech { fill: #bbb; }
.hatch { stroke: #fff; stroke-width: 2; } rect.hatching { pointer-events: none; }
[data-start] { cursor: pointer; } rect[data-start]:hover, rect[data-start]:focus { opacity: .75; outline: none; }
rect[data-start]:focus-visible { stroke: #000; stroke-width: 3; }
.curve { fill: none; stroke: #000; stroke-width: 1.3; vector-effect: non-scaling-stroke; }
.frame { fill: none; stroke: #ccc; } .threshold { stroke: var(--fake); stroke-dasharray: 5 4; }
.playhead { stroke: #00c8ff; stroke-width: 2; pointer-events: none; }
button { font: inherit; color: #00547f; background: none; border: 1px solid #9ab; border-radius: .3rem;
  padding: .1rem .5rem; cursor: pointer; min-height: 2rem; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .85rem; margin: 1rem 0 0; }
dt { color: var(--grey); } dd { margin: 0; }
.warning { border-left: .3rem solid var(--fake); padding: .2rem .8rem; background: #fff6ee; }
@media (max-width: 34rem) { body { padding: .5rem; } article { padding: .6rem; } table { font-size: .85rem; }
  th, td { padding: .3rem .2rem; } td.verdict { white-space: normal; }
  td.name { min-width: 4.5rem; } .wide { display: none; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; } }
@media print { audio, .playhead, .screen { display: none; } body { max-width: none; padding: 0; }
  article, tr, figure { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""".strip()

_SCRIPT = """
"use strict";
for (const part of document.querySelectorAll("article")) {
  const audio = part.querySelector("audio"), head = part.querySelector(".playhead");
  const picture = part.querySelector("svg.timeline");
  if (!audio || !picture) continue;
  const seconds = Number(picture.dataset.seconds);
  let stop = Infinity;
  const place = () => {
    const at = (100 * Math.min(1, audio.currentTime / seconds)) + "%";
    head.setAttribute("x1", at);
    head.setAttribute("x2", at);
  };
  const play = (start, end) => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    audio.currentTime = start;
    stop = end;
    place();
    audio.play().catch(() => {});
  };
  const act = (event) => {
    const segment = event.target.closest("[data-start]");
    if (segment) {
      play(Number(segment.dataset.start), Number(segment.dataset.end));
    } else if (event.type === "click" && event.target.closest("svg.timeline")) {
      const box = picture.getBoundingClientRect();
      play(seconds * (event.clientX - box.left) / box.width, Infinity);
    } else return;
    event.preventDefault();
  };
  part.addEventListener("click", act);
  part.addEventListener("keydown", (event) => {
    if (event.target.closest("rect") && (event.key === "Enter" || event.key === " ")) act(event);
  });
  audio.addEventListener("timeupdate", () => {
    place();
    if (audio.currentTime >= stop) { audio.pause(); stop = Infinity; }
  });
  audio.addEventListener("seeking", place);
}
""".strip()


class Report:
    """A page that is gathered answer by answer and written at the end; a context manager.

    After an error or Ctrl-C in the block, what was answered is written where no page is yet: a fragment does not take
    the place of a whole one.

    Parameters
    ----------
    path : Path
        HTML file to write.
    settings : Settings
        Of the checkpoint.
    model : dict
        From :meth:`deepfake_audio.model.checkpoint.Checkpoint.about`.

    Raises
    ------
    OutputError
        If another scan is writing it.
    """

    def __init__(self, path: Path, settings: Settings, model: dict[str, str]):
        self.path, self.settings, self.model = Path(path), settings, model
        self._lock = claim(self.path)
        self._sections: list[str] = []
        self._rows: list[str] = []
        self._summary = Summary()
        self._heard_seconds = 0.0

    def add(self, result: dict, glimpse: Glimpse | None) -> None:
        """Add one answer; without a glimpse (for what could not be judged) it gets a line in the table only."""
        self._summary.add(result)
        number = len(self._rows) + 1
        own_section = glimpse is not None and len(self._sections) < MOST_PICTURES
        self._rows.append(_row(result, number if own_section else None))
        if own_section:
            mp3 = glimpse.mp3()
            if self._heard_seconds + glimpse.seconds_to_listen > LISTEN_SECONDS_IN_ALL:
                mp3 = b""
            else:
                self._heard_seconds += glimpse.seconds_to_listen
            self._sections.append(_section(result, glimpse, mp3, number, self.settings, self.model))

    def __enter__(self) -> Report:
        return self

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
        """Write the page.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            with atomic_path(self.path) as temporary:
                temporary.write_text(self._page(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(
                f"'{self.path}' cannot be written ({error.strerror}): close what shows it, or name another file."
            ) from error

    def _page(self) -> str:
        policy = (
            "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
            f"style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'"
        )
        several = len(self._rows) > 1
        rows = "\n".join(self._rows)
        files = self._summary.files
        counts = ", ".join(f"{files[verdict]} {verdict}" for verdict in SIGNS if files[verdict])
        heads = '<th class="number">Confidence</th><th class="number wide">Length</th>'
        overview = f"""
<table>
<thead><tr><th>Recording</th><th>Verdict</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p class="small">{files.total()} recordings: {counts}</p>
"""
        left_out = len(self._rows) - len(self._sections) - self._summary.files["Error"]
        if left_out > 0:
            overview += f"<p>A page shows {MOST_PICTURES} recordings in full; {left_out} are in this table only.</p>"
        limits = "\n".join(f"<li>{html.escape(limit)}</li>" for limit in LIMITS)
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Real, fake or hybrid? Report on {len(self._rows)} recording{"s" if several else ""}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Real, fake or hybrid speech?</h1>
<p>Answers of the model {_text(self.model["name"])}, trained {_text(self.model["trained"])}, version
{_text(self.model["version"])}.</p>
<p class="warning">An answer of this model proves nothing by itself. Read the limits at the end before acting on it.</p>
{overview if several or not self._sections else ""}
{"".join(self._sections)}
<h2>Limits of the method</h2>
<ul>
{limits}
</ul>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _text(value: object) -> str:
    """Escape text that comes from outside; also what would turn the direction of writing."""
    return html.escape(clean(value), quote=True)


def _clock(seconds: float) -> str:
    """Return ``1:02:03.40``, without hours where there are none."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{front}:{hundredths / 100:05.2f}"


def _class(label: str) -> str:
    return label.replace(" ", "-")


def _badge(label: str) -> str:
    return f'<span aria-hidden="true">{SIGNS[label]}</span> {label}'


def _row(result: dict, number: int | None) -> str:
    name = _text(result["path"])
    link = name if number is None else f'<a href="#recording-{number}">{name}</a>'
    if result["error"]:
        return (
            f'<tr><td class="name">{link}</td><td class="verdict Error">{_badge("Error")}</td>'
            f'<td colspan="2" class="name small">{_text(result["error"])}</td></tr>'
        )
    verdict = result["verdict"]
    confidence = "" if verdict == NO_SPEECH else f"{result['confidence']:.2f}"
    return (
        f'<tr><td class="name">{link}</td><td class="verdict {_class(verdict)}">{_badge(verdict)}</td>'
        f'<td class="number">{confidence}</td><td class="number wide">{_clock(result["seconds"])}</td></tr>'
    )


def _section(result: dict, glimpse: Glimpse, mp3: bytes, number: int, settings: Settings, model: dict[str, str]) -> str:
    verdict, path = result["verdict"], clean(result["path"])
    seconds = max(result["seconds"], SHORTEST_SECONDS)
    sentences = " ".join(explain(result))
    if verdict != NO_SPEECH:
        shares = ", ".join(f"{name} {result['probabilities'][name]:.2f}" for name in CLASS_NAMES)
        sentences += (
            f" The model gives {shares}. Of answers with a confidence of {result['confidence']:.2f} about "
            f"{round(10 * result['confidence'])} in 10 were right on clips like those it was trained on."
        )
    heard = glimpse.seconds_to_listen if mp3 else 0.0
    if mp3:
        audio = f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{_base64(mp3)}"></audio>'
        note = f"The sound is compressed to {settings.features.sample_rate // 1000} kHz mono MP3 for this page."
        if heard < seconds - 0.05:
            note = f"Only the first {_clock(heard)} of {_clock(seconds)} can be played here. {note}"
    else:
        audio, note = "", "The sound is not in this page, which would grow too large."
    segments = result["segments"]
    if len(segments) > MOST_SEGMENTS:
        least = sorted((s["end"] - s["start"] for s in segments), reverse=True)[MOST_SEGMENTS - 1]
        shown = [s for s in segments if s["end"] - s["start"] >= least][:MOST_SEGMENTS]
        note += f" Of {len(segments)} segments the {len(shown)} longest are shown."
        segments = shown
    file, threshold = Path(path).name, ""
    if result["threshold"] is not None:
        threshold = f"<dt>Threshold</dt><dd>not Real with probability {result['threshold']:g} or more</dd>\n"
    return f"""
<article id="recording-{number}">
<h2>{html.escape(file)}</h2>
<p class="verdict {_class(verdict)}">{_badge(verdict)}</p>
<p>{html.escape(sentences)} {html.escape(NEXT_STEP[verdict])}</p>
<figure>
{_timeline(glimpse, segments, seconds, heard, settings)}
<figcaption>Mel-spectrogram; below it the probability of fake with the threshold, and the segments:
<span class="Real">{SIGNS["Real"]} blue is real</span>, <span class="Fake">{SIGNS["Fake"]} hatched orange is
fake</span>, grey is no speech.
<span class="screen">Click a segment to hear it, or the picture to play from there.</span></figcaption>
</figure>
{audio}
<p class="small">{html.escape(note)}</p>
{_segment_table(segments, heard)}
<dl>
<dt>File</dt><dd>{html.escape(path)}</dd>
<dt>Length</dt><dd>{_clock(seconds)}, {_clock(result["speech_seconds"])} of it speech or other sound</dd>
<dt>SHA-256</dt><dd>{_text(result["sha256"])}</dd>
<dt>Model</dt><dd>{_text(model["name"])}, trained {_text(model["trained"])}, version {_text(model["version"])}</dd>
{threshold}</dl>
</article>
"""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _timeline(glimpse: Glimpse, segments: Sequence[dict], seconds: float, heard: float, settings: Settings) -> str:
    """Draw spectrogram, probability and segments as one SVG, so that they share their time axis to the pixel."""
    features = settings.features
    mel, column_seconds = glimpse.spectrogram()
    # The last frame reaches past the end of the recording.
    wide = 100 * max(1.0, len(mel) * column_seconds / seconds)
    parts = [
        f'<image x="0" y="0" width="{wide:.3f}%" height="150" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{_base64(mel_picture(mel))}"/>'
    ]
    for khz, band in mel_ticks(mel.shape[1], features.highest_hz):
        if khz < 0.5:
            continue  # no room for the words
        y = 150 * (1 - (band + 0.5) / mel.shape[1])
        parts.append(f'<text class="on-dark" x="4" y="{min(146.0, max(11.0, y + 4)):.1f}">{khz:g} kHz</text>')
    parts.append('<rect class="frame" x="0" y="156" width="100%" height="44"/>')
    if len(glimpse.timeline) and segments:
        values, group = thin_out(glimpse.timeline)
        step = group * settings.label_seconds
        points = " ".join(
            f"{1000 * min(1.0, (index + 0.5) * step / seconds):.2f},{44 * (1 - value):.2f}"
            for index, value in enumerate(values)
        )
        y = 156 + 44 * (1 - settings.decision.fake_threshold)
        parts.append(f'<line class="threshold" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            '<svg x="0" y="156" width="100%" height="44" viewBox="0 0 1000 44" preserveAspectRatio="none">'
            f'<polyline class="curve" points="{points}"/></svg>'
        )
    if not segments:
        parts.append('<rect class="No-speech" x="0" y="206" width="100%" height="34"/>')
    for segment in segments:
        start, end, label = segment["start"], segment["end"], segment["label"]
        place = f'x="{100 * start / seconds:.4f}%" y="206" width="{100 * (end - start) / seconds:.4f}%" height="34"'
        hint = f"{label}, {_clock(start)} to {_clock(end)}"
        play = ""
        if start < heard:
            play = f' data-start="{start}" data-end="{end}" tabindex="0" role="button" aria-label="Play {hint}"'
        parts.append(f'<rect class="{_class(label)}" {place}{play}><title>{hint}</title></rect>')
        if label == "Fake":
            parts.append(f'<rect class="hatching" fill="url(#hatching)" {place}/>')
    parts.append('<line class="playhead" x1="0" x2="0" y1="0" y2="240"/>')
    for part in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[part]
        at = _clock(seconds * part / 4)
        parts.append(f'<text x="{25 * part}%" y="256" text-anchor="{anchor}">{at}</text>')
    hatching = (
        '<defs><pattern id="hatching" width="8" height="8" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line class="hatch" x1="0" x2="0" y1="0" y2="8"/></pattern></defs>'
    )
    label = 'role="group" aria-label="Spectrogram and timeline"'
    return f'<svg class="timeline" data-seconds="{seconds}" {label}>{hatching}{"".join(parts)}</svg>'


def _segment_table(segments: Sequence[dict], heard: float) -> str:
    if not segments:
        return ""
    rows = []
    for segment in segments:
        start, end, label = segment["start"], segment["end"], segment["label"]
        button = ""
        if start < heard:
            button = f'<button type="button" data-start="{start}" data-end="{end}">Play</button>'
        probability = "" if label == NO_SPEECH else f"{segment['fake_probability']:.2f}"
        rows.append(
            f'<tr><td class="number">{_clock(start)}</td><td class="number">{_clock(end)}</td>'
            f'<td class="verdict {_class(label)}">{_badge(label)}</td><td class="number">{probability}</td>'
            f'<td class="screen">{button}</td></tr>'
        )
    head = (
        '<tr><th class="number">From</th><th class="number">To</th><th>Segment</th>'
        '<th class="number">p(fake)</th><th class="screen"></th></tr>'
    )
    return f'<table class="segments">\n<thead>{head}</thead>\n<tbody>\n' + "\n".join(rows) + "\n</tbody>\n</table>"


# Pictures and labels


MOST_NAME_BYTES = 80
"""Of a picture's name: disks that count letters and disks that count bytes take it."""

DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever is behind the dot."""


class Pictures:
    """A folder of PNG files, one per recording.

    Parameters
    ----------
    folder : Path
        Made when missing.
    settings : Settings
        Of the checkpoint.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, settings: Settings):
        self.folder, self.settings = Path(folder), settings
        self._taken: set[str] = set()
        try:  # before anything is judged
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{folder}' cannot be written ({error.strerror}): name another folder.") from error
        self._untidy = has_leftovers(self.folder)  # once: a folder of many pictures takes long to look through

    def add(self, result: dict, glimpse: Glimpse) -> Path:
        """Draw one recording and return the file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        # Names that every disk takes, however odd the recording's own is.
        name = re.sub(r"[^\w .()+-]", "_", clean(Path(result["path"]).stem)).encode()[:MOST_NAME_BYTES]
        name = name.decode(errors="ignore").strip(" .") or "recording"
        if DEVICE_NAME.fullmatch(name):
            name = f"_{name}"
        if name.lower() in self._taken:
            name = f"{name}-{result['sha256'][:12]}"
        self._taken.add(name.lower())
        path = self.folder / f"{name}.png"
        if self._untidy:
            remove_leftovers(path)
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


def write_labels(path: Path, segments: Sequence[dict]) -> None:
    """Write segments as an Audacity label track (File > Import > Labels).

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    lines = []
    for segment in segments:
        label = segment["label"]
        text = label if label == NO_SPEECH else f"{label} {segment['fake_probability']:.2f}"
        lines.append(f"{segment['start']:.6f}\t{segment['end']:.6f}\t{text}\n")
    remove_leftovers(path)
    try:
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror}): name another file.") from error
