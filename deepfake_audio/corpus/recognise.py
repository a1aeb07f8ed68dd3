"""Find out what lies below a folder: which layouts, which clips, and what nobody knows.

A folder is walked once; then every layout takes the recordings that it knows: a ``clips.csv`` first, then the lists,
tables and folder names of :mod:`deepfake_audio.corpus.layouts`, and last the general rule of folders named after a
class. What nobody takes is counted, with examples.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from .. import places
from ..errors import CorpusError
from ..sound.reading import AUDIO_SUFFIXES
from ..text import counted
from .clips import EXAMPLES_KEPT, SPLIT_NAMES, Clip, Dataset, Ignored, class_of, label_options, settled
from .doubles import leave_out_contradictions
from .known import read_folders, read_lists
from .layouts import GENERAL, layout_names
from .tables import TABLE_NAME, read_tables, unread_tables
from .tree import HIDDEN, Tree, is_text, title_of

STARTER_NAME = "starter"

NAMELESS = "recordings without a folder named after a class"

LAYOUT_HELP = "Put clips under <folder>/real/... and <folder>/fake/..., or describe them in <folder>/clips.csv."


def choose_folders(asked: Sequence[Path], data: Path) -> tuple[list[Path], Path | None, list[str]]:
    """Return the folders that a run uses, the starter corpus where it shall not be mixed in, and notes for the user.

    They are those that the user `asked` for, else the project's `data` folder, or the starter corpus in it.
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
    """List the clips of one or more folders; see :func:`find_datasets`."""
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
        root = _checked(Path(root))
        title = title_of(root)
        taken[title] += 1
        # Two folders called "wav" must not give two clips one name.
        name = title if taken[title] == 1 else f"{title}-{taken[title]}"
        tree = Tree(root, name, skip.resolve() if skip else None, said)
        found = [*read_tables(tree), *read_lists(tree), *read_folders(tree), read_class_folders(tree)]
        unread = [f"{table} is not read: call it {TABLE_NAME} if it says what its recordings are."
                  for table in unread_tables(tree)]  # fmt: skip
        if not any(dataset.clips for dataset in found):
            raise CorpusError(*_nothing_found(root, found), *unread[:EXAMPLES_KEPT])
        if found[-1].clips:
            found[-1].warnings += unread[:EXAMPLES_KEPT]
        _hand_over(found)
        for dataset in found:
            clips, dataset.clips = dataset.clips, []
            for clip in clips:
                if (clip.path, clip.label) in seen:
                    dataset.ignore("clips that are listed already", clip.name)
                else:
                    dataset.clips.append(clip)
                    seen.add((clip.path, clip.label))
        datasets += [dataset for dataset in found if dataset.clips or dataset.ignored]
    leave_out_contradictions(datasets, allow_conflicts)
    return datasets


def _checked(root: Path) -> Path:
    """Return the proper name of a folder that somebody gave, or say what to give instead."""
    if root.is_file():
        kind = {".zip": "zipfile", ".tar": "tarfile", ".gz": "tarfile", ".tgz": "tarfile"}.get(root.suffix.lower())
        unpack = f'unpack it with \'python -m {kind} -e "{root}" "{root.with_suffix("")}"\' first' if kind else ""
        raise CorpusError(f"{root} is a file: {unpack or f'give its folder, --data {root.parent}'}.")
    if not root.is_dir():
        raise CorpusError(f"There is no folder {root}; give --data a folder that holds recordings. {LAYOUT_HELP}")
    root = root.resolve()
    if not is_text(str(root)):
        raise CorpusError(f"The name of the folder {str(root)!r} is not valid UTF-8; rename it.")
    return root


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
        kept.examples = (kept.examples + entry.examples)[:EXAMPLES_KEPT]
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


# The general rule


def _class_folder(tree: Tree, parts: Sequence[str], inside: Mapping[str, Collection[str]]) -> tuple[int, str]:
    """Return how many folders of a path end with the one that says the class, and the class, which may be ``""``."""
    told = [depth for depth, part in enumerate(parts) if tree.classes(part)]
    told = [depth for depth in told if parts[depth].casefold() in tree.said] or told
    if not told:
        return 0, ""
    if all(parts[depth].isdecimal() for depth in told):
        told = told[:1]  # below a number that is a class, numbers count speakers or clips
    *farther, nearest = told
    name, classes = parts[nearest], tree.classes(parts[nearest])
    if len(classes) > 1:
        says = " and ".join(sorted(classes, reverse=True))
        raise CorpusError(
            f"The name of the folder {'/'.join(parts[: nearest + 1])!r} says {says}; say which of them its recordings "
            f"are: {label_options(name, *sorted(classes, reverse=True))}."
        )
    (label,) = classes
    siblings = inside["/".join(parts[:nearest])]
    decided = name.casefold() in tree.said or any(tree.classes(other) - classes for other in siblings)
    for depth in () if decided else farther:
        above = tree.classes(parts[depth])
        # A partly fake clip among the fake ones is no contradiction.
        if label not in above and (label, above) != ("Hybrid", {"Fake"}):
            other = min(above)
            raise CorpusError(
                f"In {'/'.join(parts)!r} the folder {name!r} says {label} and {parts[depth]!r} above it {other}; say "
                f"what {name!r} holds: {label_options(name, label, other)}."
            )
    return nearest + 1, label


def read_class_folders(tree: Tree) -> Dataset:
    """Label files by the nearest folder above them that names a class; those between tell voice or generator.

    The name of the folder that was given counts only where nothing below it says a class.

    Raises
    ------
    CorpusError
        Where a folder's name says two classes, or another one than a folder above it.
    """
    dataset = Dataset(tree.root, GENERAL, "the nearest folder above that names a class", ignored=tree.ignored)
    known: list[tuple[str, str, list[str], str]] = []
    inside: dict[str, set[str]] = defaultdict(set)
    for folder in tree.audio:
        parts = folder.split("/") if folder else []
        for depth, part in enumerate(parts):
            inside["/".join(parts[:depth])].add(part)
    below_says = any(tree.classes(part) for parts in inside.values() for part in parts)
    title = tree.classes(tree.title)
    for folder, names in tree.audio.items():
        parts = folder.split("/") if folder else []
        if not names:
            continue
        depth, label = _class_folder(tree, parts, inside)
        if not label and not below_says and len(title) == 1:
            (label,) = title
        if label:
            # The folder that was given may be called "test" for its own reasons.
            split = next((SPLIT_NAMES[p.lower()] for p in reversed(parts) if p.lower() in SPLIT_NAMES), "")
            known.append((folder, label, parts[depth:], split))
        for name in () if label else names:
            dataset.ignore(NAMELESS, posixpath.join(folder, name))
    # A single folder called "test" or "val" is no partition of the authors.
    found = {split for *_, split in known}
    partitioned = "train" in found and len(found - {""}) > 1
    for folder, label, below, split in known:
        if partitioned:
            below = [part for part in below if part.lower() not in SPLIT_NAMES]
        for name in list(tree.audio[folder]):
            clip = tree.clip(
                folder,
                name,
                label,
                # real/<speaker>/<book>/..., fake/<language>/<generator>/...
                speaker=below[0] if below and label == "Real" else "",
                generator="/".join(below) if label != "Real" else "",
                split=split if partitioned else "",
            )
            dataset.clips.append(clip)
    if partitioned:
        dataset.why += ", sets by folders such as training, validation, testing"
    return dataset
