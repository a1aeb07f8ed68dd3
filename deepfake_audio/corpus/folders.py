"""Folders and file names that say what a recording is: those of known datasets, and the general rule."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from .clips import SPLIT_NAMES, Dataset, class_of
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
                fields = groups | inner.groupdict()
                label = class_of(fill(layout.label, fields))
                clip = tree.clip(
                    folder,
                    name,
                    label,
                    speaker=fill(layout.speaker, fields).lower(),
                    generator=fill(layout.generator, fields) if label != "Real" else "",
                    source=fill(layout.source, fields),
                    language=fill(layout.language, fields),
                    split=SPLIT_NAMES.get((groups.get("split") or "").lower(), ""),
                )
                dataset.clips.append(clip)
                homes[title].add(folder)
    for title, dataset in datasets.items():
        dataset.root = tree.root / common_folder(homes[title])
        yield dataset


# The general rule


def label_of_folders(folder: str) -> str | None:
    """Return the class that the deepest telling folder of a path names, or None."""
    return next((label for part in reversed(folder.split("/")) if (label := class_of(part))), None)


def read_class_folders(tree: Tree) -> Dataset:
    """Label files by the nearest folder above them that names a class; those between tell voice or generator."""
    dataset = Dataset(tree.root, GENERAL, "the nearest folder above that names a class", ignored=tree.ignored)
    known: list[tuple[str, str, list[str], str]] = []
    for folder, names in tree.audio.items():
        parts = [tree.title, *(folder.split("/") if folder else ())]
        depth = next((d for d in range(len(parts) - 1, -1, -1) if class_of(parts[d])), None)
        if depth is None:
            for name in names:
                dataset.ignore(NAMELESS, f"{folder}/{name}" if folder else name)
        elif names:
            # The folder that was given may be called "test" for its own reasons.
            split = next((SPLIT_NAMES[p.lower()] for p in reversed(parts[1:]) if p.lower() in SPLIT_NAMES), "")
            known.append((folder, class_of(parts[depth]), parts[depth + 1 :], split))
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
