"""Known datasets: by the lists and tables that they bring, or by the names of their folders and files."""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..sound.reading import AUDIO_SUFFIXES, LONGEST_SECONDS
from ..text import counted
from .clips import SPLIT_NAMES, Dataset, class_of
from .layouts import FOLDERS, PROTOCOLS, Protocol, fill, pattern, segments_in_npy
from .tables import DELIMITERS, END_SECONDS, refuse_late_ends, rows_of
from .tree import Tree, common_folder, distance, is_below, lines_of


class _UnusableError(Exception):
    """Why a line of a list is left aside."""


def read_lists(tree: Tree) -> Iterator[Dataset]:
    """Yield the datasets whose lists lie below a folder, and those that lack theirs."""
    lists = defaultdict(list)
    for folder, names in tree.others.items():
        for name in names:
            for protocol in PROTOCOLS:
                match = pattern(protocol.file).fullmatch(name)
                if match and _begins_as(tree.path(folder, name), protocol):
                    lists[protocol].append((folder, name, match.groupdict().get("split", "").lower()))
    by_stem: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for folder, names in tree.audio.items() if lists else ():
        for name in names:
            by_stem[os.path.splitext(name)[0]].append((folder, name))  # noqa: PTH122
    owners = {folder: _owner(tree, folder) for folder in tree.audio}
    for protocol in PROTOCOLS:
        own = [folder for folder, owner in owners.items() if owner == protocol.layout and tree.audio[folder]]
        if lists[protocol]:
            dataset = _read(tree, protocol, lists[protocol], by_stem, owners)
            if dataset.clips or own:
                yield dataset
            else:
                # A list that gives nothing must not keep the general rule from the folders around it.
                tree.ignored.update(dataset.ignored)
        elif own:
            # Without its list nobody can say what a recording of such a dataset is, whatever the folder is called.
            dataset = Dataset(tree.root / common_folder(own), protocol.layout, "names of folders")
            without = f"recordings of {protocol.layout} without its list of labels; give the folder that holds both"
            tree.report_rest(dataset, own, without)
            yield dataset


def _begins_as(path: Path, protocol: Protocol) -> bool:
    """Return whether a list begins as those of a dataset do, where its name alone is not enough."""
    if not (protocol.first_line or protocol.headers):
        return True
    with contextlib.closing(lines_of(path)) as lines:
        first = next(lines, (0, ""))[1]
    named = {name.strip('" ').lower() for name in re.split(f"[{DELIMITERS}]", first)}
    return named.issuperset(protocol.headers.values()) and bool(pattern(protocol.first_line).match(first))


def _owner(tree: Tree, folder: str) -> str:
    """Name the layout to whose recordings a folder belongs by its name, or ``""``."""
    path = f"{tree.title}/{folder}".rstrip("/")
    if any(tree.classes(part) & {"Real", "Fake"} for part in folder.split("/")):
        return ""  # somebody sorted them into folders
    return next((p.layout for p in PROTOCOLS if p.audio and pattern(p.audio).search(path)), "")


def _read(tree: Tree, protocol: Protocol, lists: list, by_stem: dict, owners: dict[str, str]) -> Dataset:
    names = sorted(name for _, name, _ in lists)
    why = f"{names[0]}" + (f" and {counted(len(names) - 1, 'more list')}" if len(names) > 1 else "")
    dataset = Dataset(tree.root, protocol.layout, why, warnings=protocol.warnings)
    homes = {folder for folder, owner in owners.items() if owner == protocol.layout}
    for folder, list_name, split in lists:
        table, ends = tree.path(folder, list_name), []
        listed: set[str] = set()
        for number, line, row in _rows(table, protocol):
            where = f"{list_name} line {number}"
            stem = _stem(row.get("clip", ""))
            try:
                if not stem:
                    raise _UnusableError("lines with missing columns")
                if stem in listed:
                    raise _UnusableError("lines that name a clip again")
                label, spans, end = _judge(tree, protocol, folder, row | {"clip": stem, "split": split})
            except _UnusableError as reason:
                dataset.ignore(str(reason), f"{where}: {line[:80]}")
                continue
            if protocol.audio:  # below a table, names may stand in several folders
                listed.add(stem)
            found = [(at, name) for at, name in by_stem.get(stem, ())
                     if name in tree.audio[at] and owners[at] in ("", protocol.layout)
                     and (protocol.audio or is_below(at, folder))]  # fmt: skip
            if not found:
                dataset.ignore("clips that a list names but that are not there", f"{where}: {row['clip']}")
                continue
            if len(found) > 1:
                # Repacked sets have folders named after the classes, and may count from 1 in both.
                found.sort(key=lambda x: (_label_of_folders(x[0]) not in (label, None), distance(x[0], folder)))
            at, name = found[0]
            homes.add(at)
            fields = re.fullmatch(protocol.clip, stem).groupdict() | row
            clip = tree.clip(
                at,
                name,
                label,
                **protocol.about(label, fields),
                spans=spans,
                split=SPLIT_NAMES.get(split, protocol.split),
            )
            dataset.clips.append(clip)
            ends += [(clip.path, end, f"line {number}: {stem}")] if spans else []
        step = tree.segment_labels(folder, split)[0] if protocol.segments is segments_in_npy else 0.0
        refuse_late_ends(table, ends, END_SECONDS + step)
    if dataset.clips or protocol.audio:
        tree.report_rest(dataset, sorted(homes), "recordings that no list names")
    dataset.root = tree.root / common_folder([*homes, *(folder for folder, *_ in lists)])
    unknown = sum(clip.label == "Hybrid" and clip.spans is None for clip in dataset.clips)
    if unknown:
        dataset.warnings.append(
            f"{counted(unknown, 'partly fake clip', 'has', 'have')} no segment labels: where speech is fake "
            "is not known. Add segment_labels/ or vad/ of the dataset."
        )
    return dataset


def _rows(path: Path, protocol: Protocol) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield number, text and named columns of each line; no columns where some are missing."""
    if headers := protocol.headers:
        for number, row in rows_of(path, list(headers.values())):
            yield number, " ".join(row.values()), {column: row[name].strip() for column, name in headers.items()}
        return
    columns = protocol.columns.split()
    least = len(columns) - columns[-1].endswith("*")
    for number, line in lines_of(path):
        fields = line.split(None, least) if least < len(columns) else line.split()
        row = dict(zip((name.rstrip("*") for name in columns), [*fields, ""], strict=False))
        yield number, line, row if len(fields) >= least else {}


def _stem(clip: str) -> str:
    """Return the name of a clip, whatever folder and suffix a list gives it."""
    stem, suffix = os.path.splitext(clip.replace("\\", "/").split("/")[-1])  # noqa: PTH122
    return stem if suffix.lower() in AUDIO_SUFFIXES else stem + suffix


def _judge(tree: Tree, protocol: Protocol, folder: str, row: dict) -> tuple[str, tuple | None, float]:
    """Return label and fake spans of a line, and where its last segment ends."""
    label = tree.class_of(fill(protocol.label, row))
    if "label" in row and label is None:
        raise _UnusableError("lines with a label that is neither real nor fake")
    if protocol.segments is None:
        return label, None, 0.0
    unreadable = _UnusableError("lines or files with segments that cannot be read")
    try:
        segments = protocol.segments(tree, folder, row)
    except ValueError as error:
        raise unreadable from error
    if segments is None:
        # In PartialSpoof a spoofed clip is a partly spoofed one; a list with segments would have said where.
        partly = label == "Fake" and protocol.segments is segments_in_npy
        return ("Hybrid" if partly else label), None, 0.0
    fake = [(start, end) for start, end, is_fake in segments if is_fake and end > start]
    real = [(start, end) for start, end, is_fake in segments if not is_fake and end > start]
    if not (fake or real) or not all(0 <= end <= LONGEST_SECONDS for one in segments for end in one[:2]):
        raise unreadable
    if label is not None and (label == "Real") != (not fake):
        raise _UnusableError("lines whose label contradicts their segments")
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


def _label_of_folders(folder: str) -> str | None:
    """Return the class that the deepest telling folder of a path names, or None."""
    return next((label for part in reversed(folder.split("/")) if (label := class_of(part))), None)


# Folders


def read_folders(tree: Tree) -> Iterator[Dataset]:
    """Yield the datasets that are known by the names of their folders and files."""
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
                if title not in datasets:
                    datasets[title] = Dataset(tree.root, title, layout.why.format(**groups), warnings=layout.warnings)
                said = groups | inner.groupdict()
                said["speaker"] = said.get("speaker", "").lower()
                label = class_of(fill(layout.label, said))
                split = SPLIT_NAMES.get((groups.get("split") or "").lower(), "")
                clip = tree.clip(folder, name, label, split=split, **layout.about(label, said))
                datasets[title].clips.append(clip)
                homes[title].add(folder)
    for title, dataset in datasets.items():
        dataset.root = tree.root / common_folder(homes[title])
        yield dataset
