"""Tables with a header, and our own: ``clips.csv`` and ``hybrid_spans.csv``."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import itertools
import math
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import CorpusError
from ..sound.reading import LONGEST_SECONDS, about_audio
from ..text import counted
from .clips import CLASS_WORDS, SPLIT_NAMES, Clip, Dataset, label_options, says_its_length
from .tree import Tree, is_below, lines_of

TABLE_NAME = "clips.csv"
SPANS_NAME = "hybrid_spans.csv"
KNOWN_COLUMNS = tuple(f.name for f in dataclasses.fields(Clip) if f.default == "" and f.name != "split")
"""Columns of the table beside ``path`` and ``label``, each of which may be missing; ``split`` is another one."""
KNOWN_AS = {
    **dict.fromkeys(("file", "filename", "file_name", "filepath", "file_path", "audio", "audio_path", "clip"), "path"),
    **dict.fromkeys(("labels", "class", "target", "category"), "label"),
    "original_sample_rate": "sample_rate",
}
"""What else columns are called."""

DELIMITERS = ",;\t|"

YES, NO = ("1", "true", "yes", "y", "t"), ("0", "false", "no", "n", "f")

END_SECONDS = 0.05
"""Spans may end so much behind the end of their clip, as labels in frames do."""


def rows_of(table: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row of a table with a header, whose columns are named in lower case.

    Between columns stands the one of comma, semicolon, tab and bar that tells most of them apart.

    Parameters
    ----------
    table : Path
        The file, in UTF-8.
    needed : sequence of str
        Columns without which it is refused; others that are called as in ``KNOWN_AS`` get their proper name.

    Raises
    ------
    CorpusError
        If it is no such table.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=head.count))
            names = [re.sub(r"[-_\s]+", "_", name.strip().lower()) for name in next(reader, ())]
            for place, name in enumerate(names):
                if name not in needed and (proper := KNOWN_AS.get(name, name)) not in names:
                    names[place] = proper
            if missing := [name for name in needed if name not in names]:
                raise CorpusError(f"{table} lacks the column {missing[0]!r}; its first line must name {list(needed)}.")
            if twice := [name for name in (*needed, "label") if names.count(name) > 1]:
                raise CorpusError(f"{table} has two columns {twice[0]!r}; rename or remove one of them.")
            for row in reader:
                if row:
                    yield reader.line_num, dict(itertools.zip_longest(names, row[: len(names)], fillvalue=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} is not a readable CSV file ({error}); save it as CSV in UTF-8.") from error


def read_tables(tree: Tree) -> Iterator[Dataset]:
    above: list[str] = []
    for folder, names in tree.others.items():
        table, spans = ([name for name in names if name.lower() == wanted] for wanted in (TABLE_NAME, SPANS_NAME))
        if table and not any(is_below(folder, place) for place in above):
            above.append(folder)  # a table speaks for everything below it
            yield _read_table(tree, folder, table[0], spans[0] if spans else "")


def unread_tables(tree: Tree) -> list[str]:
    """Name the tables with paths and labels that nobody reads, because they are called otherwise."""
    found = []
    for folder, names in tree.others.items():
        for name in names:
            if name.lower().endswith((".csv", ".tsv")) and name.lower() not in (TABLE_NAME, "meta.csv"):
                with contextlib.closing(lines_of(tree.path(folder, name))) as lines:
                    columns = set(re.findall(r"\w+", next(lines, (0, ""))[1].lower()))
                if {"path", "label"} <= columns | {KNOWN_AS[column] for column in columns & KNOWN_AS.keys()}:
                    found.append(f"{folder}/{name}" if folder else name)
    return found


def _read_table(tree: Tree, folder: str, table_name: str, spans_name: str) -> Dataset:
    here = tree.path(folder, "").resolve()
    table = here / table_name
    dataset = Dataset(here, TABLE_NAME, f"the table {TABLE_NAME}")
    listing = _Listing(tree, folder)
    clips: dict[Path, list[Clip]] = defaultdict(list)
    for number, row in rows_of(table, ("path",)):
        where = f"{table}, line {number}"
        label = _label(tree, table, where, row)
        at, file, path = listing.there(row["path"].strip(), where)
        known = {key: row.get(key, "").strip() for key in KNOWN_COLUMNS}
        split = row.get("split", "").strip().lower()
        if split and split not in SPLIT_NAMES:
            raise CorpusError(f"{where}: split {split!r} is not train, validation or test; correct it.")
        name = "/".join(part for part in (tree.name, at, file) if part)
        clips[path].append(Clip(name, path, label, split=SPLIT_NAMES.get(split, ""), **known))
    if not clips:
        raise CorpusError(f"{table} has no rows; it needs one per clip, with path and label.")
    spans = _read_spans(here / spans_name, listing, clips) if spans_name else {}
    for path, rows in clips.items():
        told = tuple(sorted(spans[path])) if path in spans else None
        dataset.clips += [dataclasses.replace(clip, spans=told) for clip in rows] if told else rows
    for at, file, _ in listing.found.values():
        tree.audio.get(at, {}).pop(file, None)
    tree.report_rest(dataset, [at for at in tree.audio if is_below(at, folder)], f"not in {TABLE_NAME}")
    return dataset


def _label(tree: Tree, table: Path, where: str, row: dict[str, str]) -> str:
    """Return the class of a row: what its label says, or the answer in a column such as ``is_fake``."""
    questions = {name: label for name in row for label in ("Real", "Fake")
                 if name.removeprefix("is_").replace("_", "") in CLASS_WORDS[label]}  # fmt: skip
    column = "label" if "label" in row else next(iter(questions), None)
    if column is None:
        raise CorpusError(f"{table} lacks the column 'label'; its first line must name ['path', 'label'].")
    text = row[column].strip().removesuffix(".0")  # as spreadsheets and pandas write 0 and 1
    if label := tree.class_of(text):
        return label
    if column in questions and text.lower() in YES + NO:
        return next(label for label in ("Real", "Fake") if (label == questions[column]) == (text.lower() in YES))
    if text.lower() in YES + NO:
        raise CorpusError(f"{where}: label {text!r} may be either class; say which: {label_options(text)}.")
    meaning = f", or say what it means: {label_options(text)}" if text else ""
    raise CorpusError(f"{where}: label {text!r} is not real, fake or hybrid; correct it{meaning}.")


class _Listing:
    """Where the clips of a table are, however it spells them."""

    def __init__(self, tree: Tree, folder: str):
        self.tree, self.folder = tree, folder
        self.here = tree.path(folder, "").resolve()
        self.found: dict[str, tuple[str, str, Path]] = {}

    def find(self, text: str) -> tuple[str, str, Path] | None:
        """Return folder, name and path of the only recording that a table can mean, if there is one."""
        if text in self.found:
            return self.found[text]
        for spelling in dict.fromkeys((text, text.replace("\\", "/"))):
            below = posixpath.normpath(f"{self.folder}/{spelling}" if self.folder else spelling)
            at, file = posixpath.split(below)
            if file in self.tree.audio.get(at, ()):
                return at, file, self.tree.path(at, file)
        for key in (_plain(below), *([f"*/{_plain(spelling)}"] if "/" not in spelling else [])):
            if len(near := self._spellings.get(key, ())) == 1:
                return *near[0], self.tree.path(*near[0])
        return None

    @functools.cached_property
    def _spellings(self) -> dict[str, list[tuple[str, str]]]:
        """Recordings by path, by path without suffix, and by name alone, in one case and one Unicode form."""
        index = defaultdict(list)
        for at in self.tree.below(self.folder):
            for name in self.tree.audio[at]:
                stem = posixpath.splitext(name)[0]
                for key in {posixpath.join(at, name), posixpath.join(at, stem), f"*/{name}", f"*/{stem}"}:
                    index[_plain(key)].append((at, name))
        return index

    def there(self, text: str, where: str) -> tuple[str, str, Path]:
        """Return folder, name and path of a clip, or say why there is none."""
        if found := self.find(text):
            self.found[text] = found
            return found
        try:
            path = (self.here / text).resolve()
            there = path.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # such as a link to itself, or a NUL
            raise CorpusError(f"{where}: {text[:200]!r} is no usable path; correct it.") from error
        if not path.is_relative_to(self.tree.root):
            raise CorpusError(f"{where}: {text!r} leads out of {self.tree.root}; keep clips inside it.")
        if not there:
            raise CorpusError(f"{where}: there is no file {path}; correct the table or add the clip.")
        self.found[text] = *posixpath.split(path.relative_to(self.tree.root).as_posix()), path
        return self.found[text]


def _plain(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _read_spans(
    table: Path, listing: _Listing, clips: Mapping[Path, Sequence[Clip]]
) -> dict[Path, list[tuple[float, float]]]:
    """Return the fake spans of clips in seconds, or say which rows are none."""
    spans, ends, homeless = defaultdict(list), [], []
    for number, row in rows_of(table, ("path", "start_s", "end_s")):
        try:
            start, end = (float(row[name].replace(",", ".")) for name in ("start_s", "end_s"))
        except ValueError:
            start = end = 0.0
        if not 0 <= start < end <= LONGEST_SECONDS:
            raise CorpusError(
                f"{table}, line {number}: {row['start_s']!r} to {row['end_s']!r} is no span of seconds of a recording, "
                f"which has at most {LONGEST_SECONDS / 3600:g} hours."
            )
        *_, path = listing.find(row["path"].strip()) or (None,)
        where = f"line {number}: {row['path']}"
        if path in clips:
            spans[path].append((start, end))
            ends.append((path, end, where))
        else:
            homeless.append(where)
    _refuse(table, homeless, "name", f"no clip of {TABLE_NAME}")
    refuse_late_ends(table, ends)
    return spans


def refuse_late_ends(table: Path, ends: Sequence[tuple[Path, float, str]], slack_seconds: float = END_SECONDS) -> None:
    """Refuse labels that end more than some seconds behind their clip, where its header says how long it is.

    Parameters
    ----------
    ends : sequence of (Path, float, str)
        Clip, end of a label in seconds, and the row that says so.

    Raises
    ------
    CorpusError
        With the table and the first three rows.
    """
    paths = list(dict.fromkeys(path for path, *_ in ends))
    with ThreadPoolExecutor() as pool:
        known = dict(zip(paths, pool.map(_exact_seconds, paths), strict=True))
    late = [
        f"{row} to {end:g} s of {known[path]:.2f} s" for path, end, row in ends if end > known[path] + slack_seconds
    ]
    _refuse(table, late, "end", "behind the end of a clip")


def _exact_seconds(path: Path) -> float:
    """Return the length of a clip whose header says it, or infinity."""
    about = about_audio(path)
    exact = about and says_its_length(about["format"], about["subtype"])
    return about["frames"] / about["samplerate"] if exact else math.inf


def _refuse(table: Path, rows: Sequence[str], verb: str, what: str) -> None:
    if rows:
        said = f"{counted(len(rows), 'row', f'{verb}s', verb)} {what} ({', '.join(rows[:3])})"
        raise CorpusError(f"{table}: {said}; correct or remove what is wrong.")
