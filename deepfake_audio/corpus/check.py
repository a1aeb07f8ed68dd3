"""What a corpus is like, before hours are spent on it: counts, formats, what was left aside, and what looks wrong.

A sample of the recordings is decoded, or all of them; hours are then counted or estimated.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import AudioError, CorpusError
from ..settings import CLASS_NAMES, SAMPLE_RATE
from ..sound.reading import about_audio, read_audio
from ..text import clean, counted
from ..version import SCHEMA
from ..work import in_parallel
from .clips import SPLITS, Clip, Dataset, class_of, says_its_length
from .manifest import describe, describe_data
from .shortcuts import shortcuts, suspicions, whole_hops
from .split import Splits, split_corpus
from .tree import common_folder

SAMPLE_CLIPS = 300
"""Recordings per dataset that are decoded where not all are asked for."""

EXAMPLES_SHOWN = 3
LEFT_OUT = "left out"
NO_SPLIT = "no set"


@dataclasses.dataclass(frozen=True)
class Probe:
    """What decoding one recording told."""

    kind: str = ""
    """Container and coding, such as ``WAV PCM_16``; the suffix where only ffmpeg opens the file."""
    rate: int = 0
    """In Hz; 0 where only ffmpeg opens it."""
    seconds: float = 0.0
    frames: int = 0
    """Length in samples that the header says; 0 where that is not exact."""
    error: str = ""
    """Why it cannot be decoded."""


@dataclasses.dataclass
class Report:
    """What there is to say about one dataset."""

    dataset: Dataset
    splits: list[str]
    """Of each clip: one of ``SPLITS``, ``left out``, or ``no set`` where the corpus could not be split."""
    probes: dict[int, Probe]
    """What was decoded, by the clip's place in the dataset."""
    warnings: list[str]

    def counts(self) -> Counter[tuple[str, str]]:
        """Clips per set and class."""
        return Counter((split, clip.label) for split, clip in zip(self.splits, self.dataset.clips, strict=True))

    def hours(self) -> dict[tuple[str, str], float]:
        """Hours per set and class, from the mean length of what was decoded there."""
        seconds = defaultdict(list)
        for number, probe in self.probes.items():
            if not probe.error:
                seconds[self.splits[number], self.dataset.clips[number].label].append(probe.seconds)
        counts = self.counts()
        return {cell: counts[cell] * float(np.mean(found)) / 3600 for cell, found in seconds.items()}

    def named(self, field: str) -> list[str]:
        """Return the different speakers, generators or languages that the dataset names."""
        return sorted({getattr(clip, field) for clip in self.dataset.clips} - {""})

    def to_dict(self) -> dict:
        """Return the part of the JSON answer that is about this dataset."""
        counts = self.counts()
        return {
            "root": str(self.dataset.root),
            "layout": self.dataset.layout,
            "clips": {label: sum(n for (_, of), n in counts.items() if of == label) for label in CLASS_NAMES},
            "splits": {split: {label: counts[split, label] for label in CLASS_NAMES} for split in SPLITS},
            "left_out": {label: counts[LEFT_OUT, label] for label in CLASS_NAMES},
            "hours": round(sum(self.hours().values()), 4),
            "speakers": len(self.named("speaker")),
            "generators": len(self.named("generator")),
            "warnings": self.warnings + [f"ignored: {line}" for line in self.dataset.left_aside()],
        }


def check_data(datasets: Sequence[Dataset], seed: int, everything: bool, jobs: int, as_json: bool) -> None:
    """Print what there is to know about a corpus, as text or as one JSON object.

    A sample of the recordings is decoded, or `everything`, by so many threads; `seed` is that of split and sample.

    Raises
    ------
    CorpusError
        When the corpus cannot be split, after everything else was printed.
    """
    clips = [clip for dataset in datasets for clip in dataset.clips]
    splits, problem = None, None
    try:
        splits = split_corpus(clips, seed)
    except CorpusError as error:
        problem = error
    reports = inspect(datasets, splits, seed, everything, jobs)
    areas = shortcuts(splits, seed, jobs) if splits else {}
    if as_json:
        answer = {
            "schema": SCHEMA,
            "datasets": [report.to_dict() for report in reports],
            "shortcuts": areas,
            "warnings": (splits.warnings if splits else []) + suspicions(areas),
            "refusal": str(problem) if problem else None,
        }
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(describe_data(clips)))
        for report in reports:
            print("\n" + describe_report(report))
        if splits:
            print("\n" + describe(splits))
        if areas:
            print("\nHow well each property alone tells Real from Fake (AUC on the test set; 0.5 is chance):")
            print("\n".join(f"  {name:<12} {area:.2f}" for name, area in areas.items()))
            print("\n".join(f"warning: {sentence}" for sentence in suspicions(areas)))
    if problem:
        raise problem


def inspect(
    datasets: Sequence[Dataset], splits: Splits | None, seed: int = 0, everything: bool = False, jobs: int = 1
) -> list[Report]:
    """Decode, compare and judge datasets, and return a report of each; parameters as for :func:`check_data`."""
    split_of = {}
    if splits:
        split_of = {clip.name: split for split, clips in splits.sets.items() for clip in clips}
        split_of |= {clip.name: LEFT_OUT for clip, _ in splits.left_out}
    reports = []
    for dataset in datasets:
        names = [split_of.get(clip.name) or clip.split or NO_SPLIT for clip in dataset.clips]
        reports.append(Report(dataset, names, {}, list(dataset.warnings)))
    rng = np.random.default_rng(seed)
    chosen = [(report, number) for report in reports
              for number in (range(len(report.splits)) if everything else _sample(report, rng))]  # fmt: skip
    paths = [report.dataset.clips[number].path for report, number in chosen]
    results = in_parallel(probe, [(path,) for path in paths], jobs, "Decoding")
    for (report, number), result in zip(chosen, results, strict=True):
        report.probes[number] = result
    for report in reports:
        if failed := [found.error for found in report.probes.values() if found.error]:
            tried = f"{len(failed)} of {len(report.probes)} recordings that were tried"
            report.warnings.append(f"{tried} cannot be decoded, such as: {failed[0]}")
        report.warnings += contradictions(report.dataset) + whole_hops(_lengths(report))
    return reports


def probe(path: Path) -> Probe:
    """Decode one recording."""
    try:
        seconds = len(read_audio(path)) / SAMPLE_RATE
    except AudioError as error:
        return Probe(error=str(error))
    about = about_audio(path)
    if about is None:
        return Probe(path.suffix.lower().lstrip("."), 0, seconds)
    kind = f"{about['format']} {about['subtype']}"
    return Probe(kind, about["samplerate"], seconds, about["frames"] if says_its_length(kind) else 0)


def _lengths(report: Report) -> dict[tuple[str, str, int], set[int]]:
    """Return the different lengths in samples by source, class and rate: of originals, else of the files decoded."""
    lengths = defaultdict(set)
    for number, clip in enumerate(report.dataset.clips):
        rate, frames = _whole(clip.sample_rate), _whole(clip.original_samples)
        if not (rate and frames):
            rate, frames = (found.rate, found.frames) if (found := report.probes.get(number)) else (0, 0)
        elif not says_its_length(clip.original_format or "PCM"):
            frames = 0
        if frames:
            lengths[clip.source, clip.label, rate].add(frames)
    return lengths


def _whole(text: str) -> int:
    """Return a whole number, which spreadsheets may write as ``22050.0``; 0 where it is none."""
    return int(match[1]) if (match := re.fullmatch(r"(\d{1,15})(\.0)?", text, re.ASCII)) else 0


def _sample(report: Report, rng: np.random.Generator) -> list[int]:
    """Choose clips of every set and class alike."""
    cells = defaultdict(list)
    for number, (split, clip) in enumerate(zip(report.splits, report.dataset.clips, strict=True)):
        cells[split, clip.label].append(number)
    if len(report.splits) <= SAMPLE_CLIPS:
        return list(range(len(report.splits)))
    each = -(-SAMPLE_CLIPS // len(cells))
    chosen = [rng.choice(members, min(each, len(members)), replace=False) for members in cells.values()]
    return sorted(int(number) for number in np.concatenate(chosen))


def contradictions(dataset: Dataset) -> list[str]:
    """Point out, in a sentence per class, clips whose own file or folder name says the opposite of their label."""
    # What all clips have above them (data/deepfake/...) says nothing about any of them.
    shared = len(common_folder(clip.name.rpartition("/")[0] for clip in dataset.clips).split("/"))
    warnings = []
    for label, opposite in (("Real", "Fake"), ("Fake", "Real")):
        members = [clip for clip in dataset.clips if clip.label == label]
        odd = [clip.name for clip in members if opposite in _classes_in_name(clip, shared) - {label}]
        if odd:
            more = f" and {len(odd) - EXAMPLES_SHOWN} more" if len(odd) > EXAMPLES_SHOWN else ""
            all_of_them = " The labels look swapped." if len(odd) > len(members) / 2 else ""
            warnings.append(
                f"{len(odd)} of {len(members)} {label} clips have {opposite.lower()} in their own file or folder name, "
                f"such as {', '.join(odd[:EXAMPLES_SHOWN])}{more}.{all_of_them}"
            )
    return warnings


def _classes_in_name(clip: Clip, shared: int) -> set[str]:
    """Classes that the words of a file name, or else whole folder names, stand for."""
    *folders, file = clip.name.split("/")
    in_file = {class_of(word) for word in re.split(r"[^a-z]+", Path(file).stem.lower()) if len(word) > 3} - {None}
    in_folders = {class_of(folder) for folder in folders[shared:]} - {None}
    return in_file if len(in_file) == 1 else in_folders - {clip.label}


def describe_report(report: Report) -> str:
    """Lay a report out for a console."""
    dataset, hours, counts = report.dataset, report.hours(), report.counts()
    lines = [f"{dataset.root}", f"  layout        {dataset.layout}" + (f" ({dataset.why})" if dataset.why else "")]
    if dataset.clips:
        complete = len(report.probes) == len(dataset.clips)
        about = "" if complete else "about "
        for split in (*SPLITS, LEFT_OUT, NO_SPLIT):
            cells = [
                f"{counts[split, label]} {label} ({about}{_length(hours.get((split, label), 0.0))})"
                for label in CLASS_NAMES
                if counts[split, label]
            ]
            if cells:
                lines.append(f"  {split:<12}  {', '.join(cells)}")
        named = [counted(len(report.named(field)), field) for field in ("speaker", "generator")]
        languages = ", ".join(report.named("language")) or "not named"
        lines.append(f"  names         {', '.join(named)}, languages: {languages}")
        good = [probe for probe in report.probes.values() if not probe.error]
        rates = Counter(f"{probe.rate} Hz" if probe.rate else "told by ffmpeg only" for probe in good)
        lines.append(f"  sample rates  {_shares(rates)}")
        lines.append(f"  formats       {_shares(Counter(probe.kind for probe in good))}")
        how = "all" if complete else f"a sample of {len(report.probes)}; with --jobs N all"
        lines.append(f"  decoded       {len(good)} of {len(report.probes)} ({how})")
    lines += [f"  ignored       {line}" for line in dataset.left_aside()]
    lines += [f"  warning: {warning}" for warning in report.warnings]
    return "\n".join(map(clean, lines))


def _length(hours: float) -> str:
    """Return hours in the largest unit that there is one of."""
    if hours >= 1:
        return f"{hours:.2f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in counts.most_common()) or "none"
