"""Folders and file names that say what a recording is: those of known datasets, and the general rule."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from ..errors import CorpusError
from .clips import SPLIT_NAMES, Dataset, class_of, label_options
from .layouts import FOLDERS, GENERAL, fill, pattern
from .tree import Tree, common_folder

NAMELESS = "recordings without a folder named after a class"


def read_folders(tree: Tree) -> Iterator[Dataset]:
    datasets: dict[str, Dataset] = {}
    homes = defaultdict(set)
    for layout in FOLDERS:
        for folder in list(tree.audio):
            match = pattern(layout.folder).search(f"{tree.title}/{folder}".rstrip("/"))
            if not match or not tree.audio[folder]:
                continue
            groups = match.groupdict()
            title = layout.layout.format(**groups)
            for name in list(tree.audio[folder]):
                inner = pattern(layout.file).fullmatch(os.path.splitext(name)[0])  # noqa: PTH122
                if not inner:
                    continue
                dataset = datasets.get(title)
                if dataset is None:
                    dataset = datasets[title] = Dataset(tree.root, title, layout.why.format(**groups))
                    dataset.warnings += [layout.warning] if layout.warning else []
                said = groups | inner.groupdict()
                said["speaker"] = said.get("speaker", "").lower()
                label = class_of(fill(layout.label, said))
                split = SPLIT_NAMES.get((groups.get("split") or "").lower(), "")
                dataset.clips.append(tree.clip(folder, name, label, split=split, **layout.about(label, said)))
                homes[title].add(folder)
    for title, dataset in datasets.items():
        dataset.root = tree.root / common_folder(homes[title])
        yield dataset


# The general rule


def label_of_folders(folder: str) -> str | None:
    """Return the class that the deepest telling folder of a path names, or None."""
    return next((label for part in reversed(folder.split("/")) if (label := class_of(part))), None)


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
