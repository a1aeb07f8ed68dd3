"""The scores file: what is true of every test clip, and what the detector said about it.

Metrics, pictures and model card are computed from this file, so it alone reproduces a report.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import os
import pathlib
import zlib
from collections.abc import Sequence

from ..errors import RunError
from ..examples.example import Example
from ..files import atomic_path
from ..judging.decision import decide
from ..judging.scanner import Scan
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, Settings
from ..text import exact_cell, from_exact_cell

KIND_LABELS = {"real": "Real", "fake": "Fake", "hybrid": "Hybrid", "real+real": "Real", "fake+fake": "Fake"}
"""Label of each kind of clip; the last two are splices within one class, controls for "every cut is a fake"."""

ANSWERS = (*CLASS_NAMES, UNCERTAIN, NO_SPEECH)
"""What the user may be shown."""

COMPRESSED_SUFFIX = ".gz"

Spans = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """What is true of one test clip, and what the detector said about it."""

    path: str
    label: str
    """One of `CLASS_NAMES`."""
    kind: str
    """One of `KIND_LABELS`."""
    speaker: str
    generator: str
    source: str
    language: str
    """May be empty."""
    seconds: float
    verdict: str
    """What the user was shown: one of `ANSWERS`."""
    confidence: float
    probabilities: tuple[float, ...]
    """In the order of `CLASS_NAMES`; equal ones where no speech was found and the network was not asked."""
    true_spans: Spans
    """Start and end in seconds of what is fake: nothing in a Real clip, the whole of a Fake one. Nothing in a Hybrid
    means that nobody knows; it then counts for the verdict but not for the timeline."""
    predicted_spans: Spans
    """Fake segments of the timeline that the user was shown, in seconds."""
    frame_seconds: float
    family: str = ""
    """Engine or model of the generator, without voice or checkpoint; empty where unknown, like the two below."""
    sample_rate: str = ""
    """Of the original recording, in Hz."""
    original_format: str = ""
    """Of the original recording: ``wav``, ``mp3``, ..."""
    frame_probabilities: tuple[float, ...] = ()
    """Probability of fake for each timeline frame; frame i covers i to i + 1 times `frame_seconds`. A file keeps those
    of Hybrids whose true spans are known, if any: no metric needs the others."""

    @property
    def has_timeline(self) -> bool:
        """Whether the true timeline has both kinds of speech, and is known."""
        return self.label == "Hybrid" and bool(self.true_spans)


def score_examples(scans: Sequence[tuple[Example, Scan]], settings: Settings) -> list[ClipScore]:
    """Return the rows of the scores file for scans of the test set, by the decision of a checkpoint's settings."""
    scores = []
    for example, scan in scans:
        judgement = decide(scan, settings)
        spans = ((0.0, judgement.seconds),) if example.label == "Fake" else example.spans
        scores.append(
            ClipScore(
                path=example.name,
                **{name: getattr(example, name) for name in ("label", "kind", *_FREE_COLUMNS[1:])},
                seconds=judgement.seconds,
                verdict=judgement.verdict,
                confidence=judgement.confidence,
                probabilities=tuple(judgement.probabilities.values()),
                true_spans=spans or (),
                predicted_spans=tuple((s.start, s.end) for s in judgement.segments if s.label == "Fake"),
                frame_seconds=settings.label_seconds,
                frame_probabilities=tuple(float(p) for p in judgement.frame_probabilities),
            )
        )
    return scores


_FREE_COLUMNS = ("path", "speaker", "generator", "source", "language", "family", "sample_rate", "original_format")
"""What a dataset names as it likes."""
_SPAN_COLUMNS = ("true_spans", "predicted_spans")
_PROBABILITY_COLUMNS = tuple(f"p_{name.lower()}" for name in CLASS_NAMES)
_COLUMNS = tuple(
    column
    for field in dataclasses.fields(ClipScore)
    for column in (_PROBABILITY_COLUMNS if field.name == "probabilities" else (field.name,))
)


def write_scores(path: str | os.PathLike, scores: Sequence[ClipScore], frames: bool = True) -> None:
    """Write one CSV line per clip (UTF-8); spans as ``0.5120-1.2340 2.0000-2.5000``, frames as ``0.012 0.934``.

    Names are written so that a spreadsheet calculates nothing and a terminal obeys nothing, and are read back exactly.
    A path that ends in ``.gz`` is compressed. Without `frames`, most of the file, no metric of frames can be computed.
    """
    columns = [column for column in _COLUMNS if frames or column != "frame_probabilities"]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for score in scores:
        row = vars(score) | {name: exact_cell(getattr(score, name)) for name in _FREE_COLUMNS}
        row["seconds"] = f"{score.seconds:.4f}"
        row["frame_seconds"] = f"{score.frame_seconds:.6g}"
        row["confidence"] = f"{score.confidence:.9g}"  # nine digits give a float32 back exactly
        for column, value in zip(_PROBABILITY_COLUMNS, score.probabilities, strict=True):
            row[column] = f"{value:.9g}"
        for column in _SPAN_COLUMNS:
            row[column] = " ".join(f"{start:.4f}-{end:.4f}" for start, end in row[column])
        values = score.frame_probabilities if score.has_timeline else ()
        row["frame_probabilities"] = " ".join(f"{value:.3f}" for value in values)
        writer.writerow(row)
    data = lines.getvalue().encode("utf-8")
    with atomic_path(path) as temporary:
        # Without a time inside: the same scores make the same file.
        temporary.write_bytes(gzip.compress(data, mtime=0) if _is_compressed(path) else data)


def read_scores(path: str | os.PathLike) -> list[ClipScore]:
    """Return what :func:`write_scores` wrote; RunError if it cannot be read, is something else, or holds no clips."""
    path = pathlib.Path(path)
    # The csv module refuses fields over 131072 characters: seven minutes of frames. The limit is global, so restore it.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if _is_compressed(path) else data).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        missing = {*_COLUMNS} - {*(reader.fieldnames or ()), "frame_probabilities"}
        if missing:
            raise RunError(f"{path} is not a scores file: it has no column {', '.join(sorted(missing))}")
        scores = [_read_row(path, reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RunError(f"{path} is not a scores file: {error}") from error
    except OSError as error:
        raise RunError(f"cannot read the scores file {path}: {error.strerror or error}") from error
    finally:
        csv.field_size_limit(limit)
    if not scores:
        raise RunError(f"{path} holds no clips; write it again with a test set that is not empty")
    return scores


def _is_compressed(path: str | os.PathLike) -> bool:
    return pathlib.Path(path).suffix == COMPRESSED_SUFFIX


def _read_row(path: pathlib.Path, line: int, cells: dict[str, str]) -> ClipScore:
    if None in cells or None in cells.values():
        raise RunError(f"{path}, line {line}: other fields than in the first line; was the file cut off?")
    values: dict = {name: cells[name] for name in ("label", "kind", "verdict")}
    values |= {name: from_exact_cell(cells[name]) for name in _FREE_COLUMNS}
    try:
        values |= {name: float(cells[name]) for name in ("seconds", "confidence", "frame_seconds")}
        values["probabilities"] = tuple(float(cells[column]) for column in _PROBABILITY_COLUMNS)
        values["frame_probabilities"] = tuple(map(float, cells.get("frame_probabilities", "").split()))
        values |= {column: tuple(map(_read_span, cells[column].split())) for column in _SPAN_COLUMNS}
        if values["kind"] not in KIND_LABELS or values["verdict"] not in ANSWERS:
            raise ValueError(f"{values['kind']} and {values['verdict']} are not kind and verdict of a clip")
    except ValueError as error:
        raise RunError(f"{path}, line {line}: {error}") from error
    return ClipScore(**values)


def _read_span(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"span {text!r} is not written as start-end in seconds")
    return float(start), float(end)
