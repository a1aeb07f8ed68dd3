"""Tables with a header: our own ``clips.csv``, and those that datasets bring."""

from __future__ import annotations

import contextlib
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..errors import CorpusError
from ..sound.reading import LONGEST_SECONDS
from .clips import SPLIT_NAMES, Clip, Dataset
from .folders import label_of_folders
from .layouts import TABLES, Table
from .tree import Tree, common_folder, distance, is_below, lines_of, rows_of

TABLE_NAME = "clips.csv"
KNOWN_COLUMNS = (
    *("speaker", "generator", "source", "language", "copy_of", "family", "twin_of", "sample_rate", "original_format"),
)
"""Columns of the table beside ``path`` and ``label``, each of which may be missing; ``split`` is another one."""
SPANS_NAME = "hybrid_spans.csv"


def read_tables(tree: Tree) -> Iterator[Dataset]:
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
        label = tree.class_of(row["label"])
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
    tree.report_rest(dataset, [at for at in tree.audio if is_below(at, folder)], f"not in {TABLE_NAME}")
    return dataset


# Tables of known datasets


def read_metadata(tree: Tree) -> Iterator[Dataset]:
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
        tree.report_rest(dataset, sorted(homes), f"recordings that {table.file} does not name")
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
        label = table.label or tree.class_of(fields.pop("label"))
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
