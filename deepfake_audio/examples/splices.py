"""Hybrid clips and their same-class controls: what is drawn to be spliced.

A splice is a row of parts cut from one base clip and one to three donor spans, joined end to end. Real and
synthetic speech are cut, levelled, joined and written by the same few lines, and parts are joined alike within
one class (real+real is Real, fake+fake is Fake), so that neither a boundary nor a level step proves anything by itself.
"""

from __future__ import annotations

import csv
import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..corpus.clips import Clip
from ..errors import AudioError, CorpusError
from ..files import atomic_path
from ..settings import SAMPLE_RATE, HybridSettings
from ..sound.decoders import DecoderLost
from ..sound.reading import from_int16, read_audio, to_int16, write_flac
from .plans import CROSSFADE_SHAPES, SAMPLES_PER_MS, Crossfade, Part, SplicePlan, render

SHORTEST_PART_SECONDS = 0.15
PAUSE_DB = 30.0
"""Frames this far under a clip's loudest one count as pause."""

TWIN_CHANCE = 0.5
"""How often a splice is made of a pair that is aligned in time, where there are any."""

KINDS = ("hybrid", "real+real", "fake+fake")


class Splicer:
    """Draws splice plans over the clips of one set.

    Parameters
    ----------
    clips : sequence of Clip
        Parents: Real and Fake clips of one set of the split.
    settings : HybridSettings
        Lengths, numbers and crossfades.
    read : callable
        Gives the int16 samples of a clip by its name.
    """

    def __init__(self, clips: Sequence[Clip], settings: HybridSettings, read: Callable[[str], np.ndarray]):
        self.settings = settings
        self.read = read
        by_name = {clip.name: clip for clip in clips}
        self.aligned = [clip for clip in clips if clip.twin_of in by_name]
        self.clips = {}
        for label in ("Real", "Fake"):
            self.clips[label] = [clip for clip in clips if clip.label == label]
        for label, members in self.clips.items():
            if not members:
                raise CorpusError(f"There is no {label} clip to splice; add some under a folder '{label.lower()}'.")
        self.twins: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            if original := by_name.get(clip.twin_of):
                self.twins[original.name].append(clip)
                self.twins[clip.name].append(original)
        # The nearer a donor is, the less but the synthesis gives a splice away.
        self.near: dict[tuple[str, str, str], list[Clip]] = defaultdict(list)
        for clip in clips:
            for key in ("speaker", "source"):
                if getattr(clip, key):
                    self.near[clip.label, key, getattr(clip, key)].append(clip)

    def draw(self, kind: str, name: str, rng: np.random.Generator) -> SplicePlan | None:
        """Draw one plan.

        Parameters
        ----------
        kind : str
            ``hybrid``, ``real+real`` or ``fake+fake``.
        name : str
            Name of the clip to be.
        rng : numpy.random.Generator
            Source of every choice.

        Returns
        -------
        SplicePlan or None
            None where the drawn base clip is too short to be spliced.
        """
        if kind == "hybrid":
            base_label = str(rng.choice(["Real", "Fake"]))  # mostly real, or mostly fake
            donor_label = "Fake" if base_label == "Real" else "Real"
        else:
            base_label = donor_label = "Real" if kind == "real+real" else "Fake"
        with_twin = self.aligned and rng.random() < TWIN_CHANCE
        bases = self.aligned if with_twin and base_label == "Fake" else self.clips[base_label]
        base = bases[rng.integers(len(bases))]
        samples = self.read(base.name)
        shortest = round(SHORTEST_PART_SECONDS * SAMPLE_RATE)
        spans_wanted = 1 + int(rng.integers(self.settings.most_spans))
        if len(samples) < 4 * shortest:
            return None

        twins = self.twins[base.name] if kind == "hybrid" and with_twin else []
        method = "replace" if twins else str(rng.choice(["replace", "insert"]))
        at_pause = rng.random() < 0.5
        match_level = rng.random() < 0.5
        gain_db = 0.0 if match_level else float(rng.uniform(-6.0, 6.0))
        parts: list[Part] = []
        position = 0
        for remaining in range(spans_wanted, 0, -1):
            room = len(samples) - position - shortest
            first = position + shortest
            if room <= 2 * shortest:
                break
            latest = first + (room - shortest) // remaining
            cut = self._cut_point(samples, first, latest, at_pause, rng)
            longest = len(samples) - shortest - cut if method == "replace" else len(samples)
            longest = min(longest, len(samples) // 2)  # the base stays the larger part
            if twins:
                # Same voice, words, room and moment: only the synthesis differs.
                donor = twins[rng.integers(len(twins))]
                # Nothing promises that a dataset's own copies are as long as what they copy.
                span = self._aligned_span(cut, min(longest, len(self.read(donor.name)) - cut), rng)
            else:
                donor = self._donor(donor_label, base, rng)
                span = self._donor_span(donor, longest, at_pause, rng)
            if span is None:
                break
            start, end = span
            level = gain_db
            if match_level:
                level = _level_db(samples[max(0, cut - SAMPLE_RATE) : cut + SAMPLE_RATE]) - _level_db(
                    self.read(donor.name)[start:end]
                )
                level = float(np.clip(level, -20.0, 20.0))
            parts.append(Part(base.name, base_label, position, cut))
            parts.append(Part(donor.name, donor_label, start, end, round(level, 2)))
            position = cut + (end - start if method == "replace" else 0)
        if not parts:
            return None
        parts.append(Part(base.name, base_label, position, len(samples)))
        crossfades = tuple(self._crossfade(left, right, rng) for left, right in itertools.pairwise(parts))
        return SplicePlan(name, kind, method, tuple(parts), crossfades)

    def _aligned_span(self, cut: int, longest: int, rng) -> tuple[int, int] | None:
        length = self._span_length(longest, rng)
        return (cut, cut + length) if length else None

    def _span_length(self, longest: int, rng) -> int:
        """Draw a length in samples, log-uniform: as many spans between 0.2 and 0.8 s as between 0.8 and 3 s."""
        shortest = round(self.settings.shortest_span_seconds * SAMPLE_RATE)
        longest = min(longest, round(self.settings.longest_span_seconds * SAMPLE_RATE))
        if longest < shortest:
            return 0
        return round(float(np.exp(rng.uniform(np.log(shortest), np.log(longest)))))

    def _donor(self, label: str, base: Clip, rng: np.random.Generator) -> Clip:
        """Prefer another clip by the same speaker, then of the same source; the base itself only where none is left."""
        for members in (
            self.near.get((label, "speaker", base.speaker), ()),
            self.near.get((label, "source", base.source), ()),
            self.clips[label],
        ):
            if others := [clip for clip in members if clip is not base]:
                return others[rng.integers(len(others))]
        return base

    def _donor_span(self, donor: Clip, longest: int, at_pause: bool, rng) -> tuple[int, int] | None:
        """Choose a span of the donor that is mostly speech; short words are as likely as phrases."""
        samples = self.read(donor.name)
        length = self._span_length(min(longest, len(samples)), rng)
        if not length:
            return None
        levels = _frame_levels_db(samples)
        spoken = levels > levels.max() - PAUSE_DB
        best = None
        for _ in range(8):
            start = int(rng.integers(len(samples) - length + 1))
            if at_pause:
                start = min(self._cut_point(samples, start, start + SAMPLE_RATE // 4, True, rng), len(samples) - length)
            inside = spoken[start // SAMPLES_PER_FRAME : -(-(start + length) // SAMPLES_PER_FRAME)]
            share = float(inside.mean())
            if best is None or share > best[0]:
                best = (share, start)
            if share > 0.7:
                break
        return best[1], best[1] + length

    def _cut_point(self, samples: np.ndarray, first: int, last: int, at_pause: bool, rng) -> int:
        """Choose a sample between `first` and `last`: at the quietest moment, or anywhere (inside words, too)."""
        last = max(first, min(last, len(samples)))
        if not at_pause or last - first < SAMPLES_PER_FRAME:
            return int(rng.integers(first, last + 1))
        levels = _frame_levels_db(samples[first:last])
        quiet = np.flatnonzero(levels <= levels.min() + 3.0)
        return first + int(rng.choice(quiet)) * SAMPLES_PER_FRAME

    def _crossfade(self, left: Part, right: Part, rng: np.random.Generator) -> Crossfade:
        shape = str(rng.choice(CROSSFADE_SHAPES))
        # At most a third of either part, so that two crossfades never meet; whole milliseconds as pydub has them.
        room = min(left.end - left.start, right.end - right.start) // 3 // SAMPLES_PER_MS
        longest = min(room, round(self.settings.longest_crossfade_seconds * 1000))
        if shape == "hard" or longest < 2:
            return Crossfade("hard", 0)
        return Crossfade(shape, int(rng.integers(2, longest + 1)) * SAMPLES_PER_MS)


SAMPLES_PER_FRAME = 10 * SAMPLES_PER_MS


def _frame_levels_db(samples: np.ndarray) -> np.ndarray:
    """Level of each 10 ms frame in dB re full scale; the last frame may be shorter."""
    starts = np.arange(0, len(samples), SAMPLES_PER_FRAME)
    power = np.add.reduceat((samples / 32768.0) ** 2, starts)
    lengths = np.diff(np.append(starts, len(samples)))
    return 10 * np.log10(power / lengths + 1e-10)


def _level_db(samples: np.ndarray) -> float:
    """Mean level of what is not pause, in dB re full scale."""
    levels = _frame_levels_db(samples)
    spoken = levels[levels > levels.max() - PAUSE_DB]
    return float(10 * np.log10(np.mean(10 ** (spoken / 10))))


def cached_reader(clips: Iterable[Clip], most: int = 32) -> Callable[[str], np.ndarray]:
    """Return a function that gives a clip's int16 samples by name, keeping the last `most` clips in memory."""
    paths = {clip.name: clip.path for clip in clips}
    again: set[str] = set()

    @functools.lru_cache(maxsize=most)
    def read(name: str) -> np.ndarray:
        try:
            samples = to_int16(read_audio(paths[name]))
        except AudioError as error:
            if name in again or not isinstance(error.__cause__, DecoderLost):
                raise
            # The decoder may have been ended from outside, which must not change what is drawn.
            again.add(name)
            samples = to_int16(read_audio(paths[name]))
        samples.setflags(write=False)
        return samples

    return read


def build_splices(
    clips: Sequence[Clip],
    settings: HybridSettings,
    folder: Path,
    seed: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[SplicePlan, Path]]:
    """Splice the hybrids and controls of one set into a folder.

    Writes one FLAC per splice, ``splices.jsonl`` with the plans and ``spans.csv`` with the fake spans. A folder
    that is already complete is left as it is.

    Parameters
    ----------
    clips : sequence of Clip
        Clips of one set; those that are Hybrid already are not cut again.
    settings : HybridSettings
        What to draw from.
    folder : Path
        Where the clips go.
    seed : sequence of int
        Seed of every choice, as numpy takes it.
    progress : callable, optional
        Called with the number of splices done and wanted.

    Returns
    -------
    list of (SplicePlan, Path)
        Plans and files, hybrids first.
    """
    parents = [clip for clip in clips if clip.label != "Hybrid"]
    hybrids = min(round(settings.hybrids_per_clip * len(parents)), settings.most_per_split)
    controls = min(round(settings.controls_per_clip * len(parents)), settings.most_per_split)
    wanted = ["hybrid"] * hybrids + [KINDS[1 + i % 2] for i in range(controls)]
    plans_path = folder / "splices.jsonl"
    if plans_path.is_file():  # written last
        plans = [SplicePlan.from_json(line) for line in plans_path.read_text(encoding="utf-8").splitlines()]
        return [(plan, folder / plan.name) for plan in plans]

    read = cached_reader(parents)
    splicer = Splicer(parents, settings, read)
    made = []
    for number, kind in enumerate(wanted):
        rng = np.random.default_rng([*seed, number])
        plan = None
        for _ in range(20):
            try:
                plan = splicer.draw(kind, f"{kind.replace('+', '-')}-{number:05d}.flac", rng)
            except AudioError:
                continue  # broken parents are reported once, where features are extracted
            if plan:
                break
        if plan is None:
            continue
        path = folder / plan.name
        write_flac(path, from_int16(render(plan, read)))
        made.append((plan, path))
        if progress:
            progress(number + 1, len(wanted))

    with atomic_path(folder / "spans.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "start_sample", "end_sample", "start_s", "end_s"])
        for plan, _ in made:
            for start, end in plan.fake_spans:
                writer.writerow([plan.name, start, end, f"{start / SAMPLE_RATE:.6f}", f"{end / SAMPLE_RATE:.6f}"])
    with atomic_path(plans_path) as temporary:
        temporary.write_text("".join(plan.to_json() + "\n" for plan, _ in made), encoding="utf-8")
    return made
