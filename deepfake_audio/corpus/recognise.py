"""Find out what lies below a folder: which layouts, which clips, and what nobody knows.

A folder is walked once; then every layout takes the recordings that it knows: a ``clips.csv`` first, then the lists,
tables and folder names of :mod:`deepfake_audio.corpus.layouts`, and last the general rule of folders named after a
class. What nobody takes is counted, with examples.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import CorpusError
from ..sound.reading import AUDIO_SUFFIXES, LONGEST_SECONDS
from ..text import counted
from .clips import EXAMPLES_KEPT, SPLIT_NAMES, Clip, Dataset, Ignored, class_of
from .layouts import FOLDERS, GENERAL, PROTOCOLS, TABLES, Protocol, Table, layout_names, segments_in_npy
from .tree import HIDDEN, Tree, common_folder, distance, is_below, is_text, lines_of, rows_of, title_of

TABLE_NAME = "clips.csv"
KNOWN_COLUMNS = ("speaker", "generator", "source", "language", "copy_of", "family", "twin_of")
"""Columns of the table beside ``path`` and ``label``, each of which may be missing; ``split`` is another one."""
SPANS_NAME = "hybrid_spans.csv"

LAYOUT_HELP = "Put clips under <folder>/real/... and <folder>/fake/..., or describe them in <folder>/clips.csv."

NAMELESS = "recordings without a folder named after a class"


def find_datasets(roots: Iterable[Path], skip: Path | None = None) -> list[Dataset]:
    """Find out what lies below one or more folders.

    Parameters
    ----------
    roots : iterable of Path
        Folders that hold datasets, themselves or some levels down.
    skip : Path, optional
        A folder below them that is not looked into.

    Returns
    -------
    list of Dataset
        By folder; a file reached through two of the folders is listed once.

    Raises
    ------
    CorpusError
        If a folder does not exist, or holds no recording whose class can be told, or a ``clips.csv`` is wrong.
    """
    datasets: list[Dataset] = []
    seen: set[Path] = set()
    taken: Counter[str] = Counter()
    for root in roots:
        root = Path(root)
        if not root.is_dir():
            raise CorpusError(f"There is no folder {root}; give --data a folder that holds recordings. {LAYOUT_HELP}")
        root = root.resolve()
        if not is_text(str(root)):
            raise CorpusError(f"The name of the folder {str(root)!r} is not valid UTF-8; rename it.")
        title = title_of(root)
        taken[title] += 1
        # Two folders called "wav" must not give two clips one name.
        name = title if taken[title] == 1 else f"{title}-{taken[title]}"
        tree = Tree(root, name, skip.resolve() if skip else None)
        found = [*_read_tables(tree), *_read_protocols(tree), *_read_metadata(tree), *_read_folders(tree)]
        found.append(_read_class_folders(tree))
        if not any(dataset.clips for dataset in found):
            raise CorpusError(*_nothing_found(root, found))
        _hand_over(found)
        for dataset in found:
            kept = []
            for clip in dataset.clips:
                if clip.path in seen:
                    dataset.ignore("clips that are listed already", clip.name)
                else:
                    kept.append(clip)
                    seen.add(clip.path)
            dataset.clips = kept
        datasets += [dataset for dataset in found if dataset.clips or dataset.ignored]
    return datasets


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
    else:
        what, example = "no recordings", "FILE.wav"
    others = [f"{entry.counted(reason)} (such as {entry.examples[0]})" for reason, entry in everything
              if reason not in (NAMELESS, HIDDEN) and entry.examples]  # fmt: skip
    if others and not nameless:
        what = "no recordings that can be used: " + "; ".join(others)
    return [
        f"{root} holds {what}. {LAYOUT_HELP}",
        f"Layouts that are recognised: {', '.join(layout_names())}, {TABLE_NAME}, {GENERAL}.",
        f"For anything else two lines in {root / TABLE_NAME} are a beginning:",
        "    path,label",
        f"    {example},real",
    ]


def _read_tables(tree: Tree) -> Iterator[Dataset]:
    above: list[str] = []
    for folder, names in tree.others.items():
        if TABLE_NAME in names and not any(is_below(folder, table) for table in above):
            above.append(folder)  # a table speaks for everything below it
            yield _read_table(tree, folder)


def _read_table(tree: Tree, folder: str) -> Dataset:
    here = tree.path(folder, "").resolve()
    table = here / TABLE_NAME
    dataset = Dataset(here, "clips.csv", f"the table {TABLE_NAME}")
    spans = defaultdict(list)
    if (here / SPANS_NAME).is_file():
        for number, row in rows_of(here / SPANS_NAME, ("path", "start_s", "end_s")):
            try:
                start, end = float(row["start_s"]), float(row["end_s"])
            except ValueError:
                start = end = 0.0
            if not 0 <= start < end <= LONGEST_SECONDS:
                where = f"{here / SPANS_NAME}, line {number}"
                raise CorpusError(
                    f"{where}: {row['start_s']!r} to {row['end_s']!r} is no span of seconds of a recording, which "
                    f"has at most {LONGEST_SECONDS / 3600:g} hours."
                )
            spans[row["path"]].append((start, end))
    listed = []
    for number, row in rows_of(table, ("path", "label")):
        label = class_of(row["label"])
        if label is None:
            raise CorpusError(f"{table}, line {number}: label {row['label']!r} is not real, fake or hybrid.")
        below = posixpath.normpath(f"{folder}/{row['path']}" if folder else row["path"])
        at, file = posixpath.split(below)
        if file in tree.audio.get(at, ()):
            path = tree.path(at, file)  # listed already, so it need not be looked up again
        else:
            where = f"{table}, line {number}"
            try:
                path = (here / row["path"]).resolve()
                there = path.is_file()
            except (OSError, RuntimeError, ValueError) as error:  # such as a link to itself, or a NUL
                raise CorpusError(f"{where}: {row['path'][:200]!r} is no usable path; correct it.") from error
            if not path.is_relative_to(tree.root):
                raise CorpusError(f"{where}: {row['path']!r} leads out of {tree.root}; keep clips inside it.")
            if not there:
                raise CorpusError(f"{where}: there is no file {path}; correct the table or add the clip.")
            below = path.relative_to(tree.root).as_posix()
            at, file = posixpath.split(below)
        known = {key: (row.get(key) or "").strip() for key in KNOWN_COLUMNS}
        split = (row.get("split") or "").strip().lower()
        if split and split not in SPLIT_NAMES:
            raise CorpusError(f"{table}, line {number}: split {split!r} is not train, validation or test.")
        known["split"] = SPLIT_NAMES.get(split, "")
        clip_spans = tuple(sorted(spans[row["path"]])) if row["path"] in spans else None
        dataset.clips.append(Clip(f"{tree.name}/{below}", path, label, spans=clip_spans, **known))
        listed.append((at, file))
    for at, file in listed:
        tree.audio.get(at, {}).pop(file, None)
    if not dataset.clips:
        raise CorpusError(f"{table} has no rows; it needs one per clip, with path and label.")
    _report_rest(tree, dataset, [at for at in tree.audio if is_below(at, folder)], f"not in {TABLE_NAME}")
    return dataset


def _report_rest(tree: Tree, dataset: Dataset, folders: Iterable[str], reason: str) -> None:
    """Count the recordings that lie among a dataset's own and are not in its list, so that no other layout has them."""
    for folder in folders:
        for name in tree.audio.get(folder, {}):
            dataset.ignore(reason, f"{folder}/{name}" if folder else name)
        tree.audio[folder] = {}


# Lists


@functools.cache
def _pattern(expression: str) -> re.Pattern:
    return re.compile(expression, re.IGNORECASE)


def _read_protocols(tree: Tree) -> Iterator[Dataset]:
    lists = defaultdict(list)
    for folder, names in tree.others.items():
        for name in names:
            for protocol in PROTOCOLS:
                match = _pattern(protocol.file).fullmatch(name)
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
            _report_rest(
                tree,
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
    if any(class_of(part) in ("Real", "Fake") for part in folder.split("/")):
        return ""  # somebody sorted them into folders
    return next((p.layout for p in PROTOCOLS if _pattern(p.audio).search(path)), "")


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
                label, spans = _judge(tree, protocol, folder, row, numbers)
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
                speaker=_fill(protocol.speaker, fields),
                generator=_fill(protocol.generator, fields) if label != "Real" else "",
                language=protocol.language,
                spans=spans,
                split=split,
            )
            dataset.clips.append(clip)
    _report_rest(tree, dataset, sorted(homes), "recordings that no list names")
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


def _fill(template: str, fields: dict[str, str]) -> str:
    """Fill a template; where the dataset has nothing to say there is nothing to read."""
    needed = re.findall(r"\{(\w+)\}", template)
    values = {key: fields.get(key) or "" for key in needed}
    if any(value in ("", "-") for value in values.values()):
        return ""
    return template.format(**values)


def _judge(tree: Tree, protocol: Protocol, folder: str, row: dict, numbers: Counter) -> tuple[str, tuple | None]:
    """Return label and fake spans of a line."""
    label = class_of(row["label"]) if "label" in row else None
    if "label" in row and label is None:
        raise _UnusableError("lines with a label that is neither real nor fake")
    if protocol.segments is None:
        return label, None
    try:
        segments = protocol.segments(tree, folder, row)
    except ValueError as error:
        raise _UnusableError("lines or files with segments that cannot be read") from error
    if segments is not None and not all(0 <= end <= LONGEST_SECONDS for one in segments for end in one[:2]):
        raise _UnusableError("lines or files with segments that cannot be read")
    if segments is None:
        # In PartialSpoof a spoofed clip is a partly spoofed one; a list with segments would have said where.
        partly = label == "Fake" and protocol.segments is segments_in_npy
        return ("Hybrid" if partly else label), None
    fake = [(start, end) for start, end, is_fake in segments if is_fake and end > start]
    real = [(start, end) for start, end, is_fake in segments if not is_fake and end > start]
    if not fake and not real:
        raise _UnusableError("lines or files with segments that cannot be read")
    if label is not None and (label == "Real") != (not fake):
        raise _UnusableError("lines whose label contradicts their segments")
    if "number" in row:
        numbers[(row["number"] == "1") == (not fake)] += 1
    if not fake:
        return "Real", None
    return ("Hybrid", _merged(fake)) if real else ("Fake", None)


def _merged(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Join spans that touch."""
    joined: list[list[float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return tuple((round(start, 6), round(end, 6)) for start, end in joined)


# Tables with a header


def _read_metadata(tree: Tree) -> Iterator[Dataset]:
    for table in TABLES:
        found = [folder for folder, names in tree.others.items()
                 if table.file in names and _has_columns(tree.path(folder, table.file), table)]  # fmt: skip
        if not found:
            continue
        dataset = Dataset(tree.root, table.layout, f"{table.file} with the columns {', '.join(table.columns.values())}")
        homes: set[str] = set()
        for folder in found:
            _read_metadata_rows(tree, table, folder, dataset, homes)
        if not dataset.clips:
            # A table that gives nothing must not keep the general rule from the folders around it.
            tree.notes.ignored.update(dataset.ignored)
            continue
        _report_rest(tree, dataset, sorted(homes), f"recordings that {table.file} does not name")
        dataset.root = tree.root / common_folder([*homes, *found])
        if table.warning:
            dataset.warnings.append(table.warning)
        yield dataset


def _has_columns(path: Path, table: Table) -> bool:
    with contextlib.closing(lines_of(path)) as lines:
        header = next(lines, (0, ""))[1]
    return set(table.columns.values()) <= {name.strip('" ') for name in header.split(table.delimiter)}


def _read_metadata_rows(tree: Tree, table: Table, folder: str, dataset: Dataset, homes: set[str]) -> None:
    by_name: dict[str, list[str]] = defaultdict(list)
    for at in tree.below(folder):
        for name in tree.audio[at]:
            by_name[name].append(at)
    path = tree.path(folder, table.file)
    for number, row in rows_of(path, list(table.columns.values()), table.delimiter):
        where = f"{f'{folder}/' if folder else ''}{table.file} line {number}"
        fields = {field: row.get(column, "").strip() for field, column in table.columns.items()}
        name = fields.pop("clip").replace("\\", "/").split("/")[-1]
        label = table.label or class_of(fields.pop("label"))
        if not name:
            dataset.ignore("lines with missing columns", where)
        elif label is None:
            dataset.ignore("lines with a label that is neither real nor fake", where)
        elif not (places := [at for at in by_name.get(name, ()) if name in tree.audio[at]]):
            dataset.ignore(f"clips that {table.file} names but that are not there", f"{where}: {name}")
        else:
            # Repacked sets have folders named after the classes, and may count from 1 in both.
            at = min(places, key=lambda at: (label_of_folders(at) not in (label, None), distance(at, folder)))
            homes.add(at)
            fields["language"] = fields.get("language") or table.language
            dataset.clips.append(tree.clip(at, name, label, **fields))


# Folder and file names


def _read_folders(tree: Tree) -> Iterator[Dataset]:
    datasets: dict[str, Dataset] = {}
    homes = defaultdict(set)
    for layout in FOLDERS:
        for folder in list(tree.audio):
            match = _pattern(layout.folder).search(f"{tree.title}/{folder}".rstrip("/"))
            if not match or not tree.audio[folder]:
                continue
            groups = match.groupdict()
            title = layout.layout.format(**groups)
            for name in list(tree.audio[folder]):
                inner = _pattern(layout.file).fullmatch(os.path.splitext(name)[0])  # noqa: PTH122
                if not inner:
                    continue
                dataset = datasets.get(title)
                if dataset is None:
                    dataset = datasets[title] = Dataset(tree.root, title, layout.why.format(**groups))
                    dataset.warnings += [layout.warning] if layout.warning else []
                fields = groups | inner.groupdict()
                label = class_of(_fill(layout.label, fields))
                clip = tree.clip(
                    folder,
                    name,
                    label,
                    speaker=_fill(layout.speaker, fields).lower(),
                    generator=_fill(layout.generator, fields) if label != "Real" else "",
                    source=_fill(layout.source, fields),
                    language=_fill(layout.language, fields),
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


def _read_class_folders(tree: Tree) -> Dataset:
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
