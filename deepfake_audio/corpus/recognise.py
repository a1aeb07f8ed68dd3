"""Find out what lies below a folder: which layouts, which clips, and what nobody knows.

A folder is walked once; then every layout takes the recordings that it knows: a ``clips.csv`` first, then the lists,
tables and folder names of :mod:`deepfake_audio.corpus.layouts`, and last the general rule of folders named after a
class. What nobody takes is counted, with examples.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .. import places
from ..errors import CorpusError
from ..sound.reading import AUDIO_SUFFIXES, LONGEST_SECONDS
from ..text import counted
from .clips import EXAMPLES_KEPT, SPLIT_NAMES, Clip, Dataset, Ignored, class_of, label_options, settled
from .doubles import leave_out_contradictions
from .folders import NAMELESS, read_class_folders, read_folders
from .layouts import GENERAL, PROTOCOLS, Protocol, fill, layout_names, pattern, segments_in_npy
from .tables import END_SECONDS, TABLE_NAME, read_metadata, read_tables, refuse_late_ends
from .tree import HIDDEN, Tree, common_folder, distance, is_text, lines_of, title_of

STARTER_NAME = "starter"

LAYOUT_HELP = "Put clips under <folder>/real/... and <folder>/fake/..., or describe them in <folder>/clips.csv."


def choose_folders(asked: Sequence[Path], data: Path) -> tuple[list[Path], Path | None, list[str]]:
    """Decide which dataset folders a run uses.

    Returns
    -------
    folders : list of Path
        Those that the user `asked` for, else the project's `data` folder, or the starter corpus in it.
    skip : Path or None
        The starter corpus, where it lies inside one of them and shall not be mixed in.
    notes : list of str
        What to tell the user about the choice.
    """
    if asked:
        return [Path(folder) for folder in asked], None, []
    starter = data / STARTER_NAME
    own = any(
        path.suffix.lower() in AUDIO_SUFFIXES
        for entry in (sorted(data.iterdir()) if data.is_dir() else ())
        if entry != starter
        for path in (entry.rglob("*") if entry.is_dir() else (entry,))
    )
    if not own and not starter.is_dir():
        raise CorpusError(f"There are no recordings in {data}: name their folder, with {places.TRAIN} --data FOLDER")
    if own:
        return [data], starter, [f"Using the recordings in {data} (the starter clips are left aside)."]
    return [starter], None, [
        f"Using the starter clips in {starter}: enough to see everything work, not enough to judge unseen speakers.",
        "For a dataset of your own, put its clips under data/<name>/real/... and data/<name>/fake/...,",
        f"or name its folder:  {places.TRAIN} --data FOLDER",
    ]  # fmt: skip


def find_clips(roots: Iterable[Path], skip: Path | None = None) -> list[Clip]:
    """List the clips of one or more folders; see :func:`deepfake_audio.corpus.recognise.find_datasets`."""
    return [clip for dataset in find_datasets(roots, skip) for clip in dataset.clips]


def find_datasets(
    roots: Iterable[Path],
    skip: Path | None = None,
    labels: Iterable[tuple[str, str]] = (),
    allow_conflicts: bool = False,
) -> list[Dataset]:
    """Return the datasets that lie below one or more folders.

    A file reached through two of the folders is listed once, and a recording under two labels not at all.

    Parameters
    ----------
    roots : iterable of Path
        Folders that hold datasets, themselves or some levels down.
    skip : Path, optional
        A folder below them that is not looked into.
    labels : iterable of (str, str)
        What the user says that names of folders, or labels in lists, mean: name and class.
    allow_conflicts : bool
        Leave out any number of recordings that stand under two labels.

    Raises
    ------
    CorpusError
        If a folder does not exist, or holds no recording whose class can be told, or a ``clips.csv`` is wrong, or the
        names of folders, or too many labels of the same recordings, contradict each other.
    """
    datasets: list[Dataset] = []
    seen: set[tuple[Path, str]] = set()
    taken: Counter[str] = Counter()
    said = settled(labels)
    for root in roots:
        root = Path(root)
        if root.is_file():
            kind = {".zip": "zipfile", ".tar": "tarfile", ".gz": "tarfile", ".tgz": "tarfile"}.get(root.suffix.lower())
            unpack = f'unpack it with \'python -m {kind} -e "{root}" "{root.with_suffix("")}"\' first' if kind else ""
            raise CorpusError(f"{root} is a file: {unpack or f'give its folder, --data {root.parent}'}.")
        if not root.is_dir():
            raise CorpusError(f"There is no folder {root}; give --data a folder that holds recordings. {LAYOUT_HELP}")
        root = root.resolve()
        if not is_text(str(root)):
            raise CorpusError(f"The name of the folder {str(root)!r} is not valid UTF-8; rename it.")
        title = title_of(root)
        taken[title] += 1
        # Two folders called "wav" must not give two clips one name.
        name = title if taken[title] == 1 else f"{title}-{taken[title]}"
        tree = Tree(root, name, skip.resolve() if skip else None, said)
        found = [*read_tables(tree), *_read_protocols(tree), *read_metadata(tree), *read_folders(tree)]
        found.append(read_class_folders(tree))
        if not any(dataset.clips for dataset in found):
            raise CorpusError(*_nothing_found(root, found))
        _hand_over(found)
        for dataset in found:
            kept = []
            for clip in dataset.clips:
                if (clip.path, clip.label) in seen:
                    dataset.ignore("clips that are listed already", clip.name)
                else:
                    kept.append(clip)
                    seen.add((clip.path, clip.label))
            dataset.clips = kept
        datasets += [dataset for dataset in found if dataset.clips or dataset.ignored]
    leave_out_contradictions(datasets, allow_conflicts)
    return datasets


def _guess(path: str) -> str:
    """Return a label for an example: what its own names have a word of, or else real."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", path)
    return next((label.lower() for word in reversed(words) if (label := class_of(word))), "real")


def _hand_over(found: Sequence[Dataset]) -> None:
    """Let the only dataset of a folder, or none by name, answer for what nobody took."""
    *others, rest = found
    if rest.clips or not rest.ignored:
        return
    homes = [dataset for dataset in others if dataset.clips]
    if len(homes) > 1:
        rest.layout, rest.why = "none", "files that belong to no layout"
        return
    for reason, entry in rest.ignored.items():
        kept = homes[0].ignored.setdefault(reason, Ignored())
        kept.count += entry.count
        kept.examples += entry.examples[: EXAMPLES_KEPT - len(kept.examples)]
    rest.ignored = {}


def _nothing_found(root: Path, found: Sequence[Dataset]) -> list[str]:
    """Return the lines of an error."""
    everything = [(reason, entry) for dataset in found for reason, entry in dataset.ignored.items()]
    nameless = next((entry for reason, entry in everything if reason == NAMELESS), None)
    if nameless:
        what = f"{counted(nameless.count, 'recording')} but no folder named after a class"
        example = nameless.examples[0]
        names = dict.fromkeys(path.split("/")[-2] for path in nameless.examples if "/" in path)
        lines = [f"Say what a folder holds:  {label_options(name)}" for name in names]
    else:
        what, example, lines = "no recordings", "FILE.wav", []
    others = [f"{entry.counted(reason)} (such as {entry.examples[0]})" for reason, entry in everything
              if reason not in (NAMELESS, HIDDEN) and entry.examples]  # fmt: skip
    if others and not nameless:
        what = "no recordings that can be used: " + "; ".join(others)
    return [
        f"{root} holds {what}. {LAYOUT_HELP}",
        f"Layouts that are recognised: {', '.join(layout_names())}, {TABLE_NAME}, {GENERAL}.",
        *lines,
        f"For anything else two lines in {root / TABLE_NAME} are a beginning:",
        "    path,label",
        f"    {example},{_guess(example)}",
    ]


# Lists


def _read_protocols(tree: Tree) -> Iterator[Dataset]:
    lists = defaultdict(list)
    for folder, names in tree.others.items():
        for name in names:
            for protocol in PROTOCOLS:
                match = pattern(protocol.file).fullmatch(name)
                if match and _begins_with(tree.path(folder, name), protocol.first_line):
                    lists[protocol.layout].append((folder, name, match.groupdict().get("split", "")))
    by_stem: dict[str, list[tuple[str, str]]] = defaultdict(list)
    if lists:
        for folder, names in tree.audio.items():
            for name in names:
                by_stem[os.path.splitext(name)[0]].append((folder, name))  # noqa: PTH122
    owners = {folder: _owner(tree, folder) for folder in tree.audio}
    for protocol in PROTOCOLS:
        own = [folder for folder, owner in owners.items() if owner == protocol.layout and tree.audio[folder]]
        if lists[protocol.layout]:
            yield _read_lists(tree, protocol, lists[protocol.layout], by_stem, owners)
        elif own:
            # Without its list nobody can say what a recording of such a dataset is, whatever the folder is called.
            dataset = Dataset(tree.root / common_folder(own), protocol.layout, "names of folders")
            tree.report_rest(
                dataset,
                own,
                f"recordings of {protocol.layout} without its list of labels; give the folder that holds both",
            )
            yield dataset


def _begins_with(path: Path, expression: str) -> bool:
    if not expression:
        return True
    with contextlib.closing(lines_of(path)) as lines:
        return bool(re.match(expression, next(lines, (0, ""))[1]))


def _owner(tree: Tree, folder: str) -> str:
    """Name the layout to whose recordings a folder belongs by its name, or ``""``."""
    path = f"{tree.title}/{folder}".rstrip("/")
    if any(tree.classes(part) & {"Real", "Fake"} for part in folder.split("/")):
        return ""  # somebody sorted them into folders
    return next((p.layout for p in PROTOCOLS if pattern(p.audio).search(path)), "")


def _read_lists(tree: Tree, protocol: Protocol, lists: list, by_stem: dict, owners: dict[str, str]) -> Dataset:
    names = sorted(name for _, name, _ in lists)
    why = f"{names[0]}" + (f" and {counted(len(names) - 1, 'more list')}" if len(names) > 1 else "")
    dataset = Dataset(tree.root, protocol.layout, why)
    columns = protocol.columns.split()
    homes = {folder for folder, owner in owners.items() if owner == protocol.layout}
    numbers: Counter[bool] = Counter()
    unknown_place = 0
    for folder, list_name, split_word in lists:
        split = SPLIT_NAMES.get(split_word.lower(), protocol.split)
        listed: set[str] = set()
        ends: list[tuple[Path, float, str]] = []
        for number, line in lines_of(tree.path(folder, list_name)):
            where = f"{list_name} line {number}"
            row = _columns(line, columns)
            if row is None:
                dataset.ignore("lines with missing columns", f"{where}: {line[:80]}")
                continue
            stem = row["clip"] = _without_suffix(row["clip"])
            if stem in listed:
                dataset.ignore("lines that name a clip again", f"{where}: {stem}")
                continue
            row["split_word"] = split_word.lower()
            try:
                label, spans, end = _judge(tree, protocol, folder, row, numbers)
            except _UnusableError as reason:
                dataset.ignore(str(reason), f"{where}: {line[:80]}")
                continue
            listed.add(stem)
            found = [(at, name) for at, name in by_stem.get(stem, ())
                     if name in tree.audio[at] and owners[at] in ("", protocol.layout)]  # fmt: skip
            if not found:
                dataset.ignore("clips that a list names but that are not there", f"{where}: {stem}")
                continue
            at, name = min(found, key=lambda at: distance(at[0], folder)) if len(found) > 1 else found[0]
            homes.add(at)
            unknown_place += label == "Hybrid" and spans is None
            fields = {"clip_0": "", "clip_1": "", **_parts(stem), **row}
            clip = tree.clip(
                at,
                name,
                label,
                speaker=fill(protocol.speaker, fields),
                generator=fill(protocol.generator, fields) if label != "Real" else "",
                language=protocol.language,
                spans=spans,
                split=split,
            )
            dataset.clips.append(clip)
            ends += [(clip.path, end, f"line {number}: {stem}")] if spans else []
        step = tree.segment_labels(folder, split_word.lower())[0] if protocol.segments is segments_in_npy else 0.0
        refuse_late_ends(tree.path(folder, list_name), ends, END_SECONDS + step)
    tree.report_rest(dataset, sorted(homes), "recordings that no list names")
    dataset.root = tree.root / common_folder([*homes, *(folder for folder, _, _ in lists)])
    if unknown_place:
        dataset.warnings.append(
            f"{counted(unknown_place, 'partly fake clip', 'has', 'have')} no segment labels: where speech is fake "
            "is not known. Add segment_labels/ or vad/ of the dataset."
        )
    if numbers[False] > numbers[True]:
        dataset.warnings.append(
            f"In {counted(numbers[False], 'line')} the number says the opposite of the segments: the segments were "
            "believed."
        )
    return dataset


class _UnusableError(Exception):
    """Why a line of a list is left aside."""


def _columns(line: str, columns: Sequence[str]) -> dict[str, str] | None:
    """Split a line into named columns, or return None when some are missing."""
    rest = columns[-1].endswith("*")
    fields = line.split(None, len(columns) - 1) if rest else line.split()
    if rest and len(fields) == len(columns) - 1:
        fields.append("")
    if len(fields) < len(columns):
        return None
    return {name.rstrip("*"): field for name, field in zip(columns, fields, strict=False) if name != "-"}


def _without_suffix(clip: str) -> str:
    stem, suffix = os.path.splitext(clip)  # noqa: PTH122
    return stem if suffix.lower() in AUDIO_SUFFIXES else clip


def _parts(stem: str) -> dict[str, str]:
    """Read ``dev01-cosyvoice-partial-cf_8842_304647_000034_000001`` as system and speaker."""
    words = stem.split("_")
    systems = words[0].split("-")
    return {"clip_0": systems[1] if len(systems) > 2 else "", "clip_1": words[1] if len(words) > 1 else ""}


def _judge(tree: Tree, protocol: Protocol, folder: str, row: dict, numbers: Counter) -> tuple[str, tuple | None, float]:
    """Return label and fake spans of a line, and where its last segment ends."""
    label = class_of(row["label"]) if "label" in row else None
    if "label" in row and label is None:
        raise _UnusableError("lines with a label that is neither real nor fake")
    if protocol.segments is None:
        return label, None, 0.0
    try:
        segments = protocol.segments(tree, folder, row)
    except ValueError as error:
        raise _UnusableError("lines or files with segments that cannot be read") from error
    if segments is not None and not all(0 <= end <= LONGEST_SECONDS for one in segments for end in one[:2]):
        raise _UnusableError("lines or files with segments that cannot be read")
    if segments is None:
        # In PartialSpoof a spoofed clip is a partly spoofed one; a list with segments would have said where.
        partly = label == "Fake" and protocol.segments is segments_in_npy
        return ("Hybrid" if partly else label), None, 0.0
    fake = [(start, end) for start, end, is_fake in segments if is_fake and end > start]
    real = [(start, end) for start, end, is_fake in segments if not is_fake and end > start]
    if not fake and not real:
        raise _UnusableError("lines or files with segments that cannot be read")
    if label is not None and (label == "Real") != (not fake):
        raise _UnusableError("lines whose label contradicts their segments")
    if "number" in row:
        numbers[(row["number"] == "1") == (not fake)] += 1
    end = max(end for _, end in fake + real)
    if not fake:
        return "Real", None, end
    return ("Hybrid", _merged(fake), end) if real else ("Fake", None, end)


def _merged(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Join spans that touch."""
    joined: list[list[float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return tuple((round(start, 6), round(end, 6)) for start, end in joined)
