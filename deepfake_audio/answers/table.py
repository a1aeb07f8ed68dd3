"""Answers about many recordings: a CSV table that goes on where it stopped, and a summary."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import OutputError
from ..features.draw import Glimpse
from ..files import InUse, Lock, atomic_path, file_sha256, remove_leftovers, write_all
from ..judging.many import Answer, blank
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN
from ..text import cell
from .writer import Writer, writing

COLUMNS = (
    *("path", "channel", "verdict", "reason", "confidence", "p_real", "p_fake", "p_hybrid", "seconds"),
    *("speech_seconds", "fake_seconds", "fake_segments", "channels", "notes", "sha256", "model", "trained", "rule"),
    "error",
)
"""Of the CSV table. A row without ``channel`` is about a file; as many rows as its ``channels`` says follow it, one for
each channel that was judged by itself."""


class Summary:
    """Counts answers."""

    def __init__(self):
        self.files, self.seconds = Counter(), Counter()

    def add(self, result: dict) -> None:
        """Count one answer."""
        verdict = result["verdict"] or "Error"
        self.files[verdict] += 1
        self.seconds[verdict] += result["seconds"] or 0.0

    def __str__(self) -> str:
        rows = [
            (verdict, self.files[verdict], self.seconds[verdict])
            for verdict in (*CLASS_NAMES, UNCERTAIN, NO_SPEECH, "Error")
            if self.files[verdict]
        ]
        rows.append(("All", self.files.total(), self.seconds.total()))
        lines = [f"{'Verdict':10} {'Files':>7} {'Minutes':>9}"]
        return "\n".join(lines + [f"{verdict:10} {files:7} {seconds / 60:9.1f}" for verdict, files, seconds in rows])


def claim(path: Path) -> Lock | None:
    """Keep other scans from writing a file, until the lock is released or this process ends.

    Its folder is made when missing; what a scan that was killed has left beside it is removed. Returns None where the
    folder cannot be made: whoever writes the file then finds out why.

    Raises
    ------
    OutputError
        If another scan is writing it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock(path.with_name(f".{path.name}.lock"))
    except InUse as error:
        raise OutputError(
            f"'{path}' is being written by another scan: wait for its end, or name another file."
        ) from error
    except OSError:
        return None
    remove_leftovers(path)
    return lock


class Table(Writer):
    """A CSV file of answers of one model by one rule that grows row by row and goes on where it stopped.

    The rows of a file are on disk before the next one is judged. A file whose rows are all there counts as done as
    long as it has not changed; rows of files that failed are dropped, so that those are tried again.

    Raises
    ------
    OutputError
        If the file cannot be written, is no such table, is being written by another process, or holds answers of
        another model or rule.
    """

    def __init__(self, path: Path, model: dict[str, str], rule: str = ""):
        self.path, self.model, self.rule = Path(path), model, rule
        self._file, self._superseded, self._lock = None, False, claim(self.path)
        try:
            with writing(self.path):
                whole = {path: rows for path, rows in _by_file(self._read()).items() if _is_whole(rows)}
                self._rows = {path: rows[0] for path, rows in whole.items()}
                self._write(whole)
                self._file = self.path.open("ab", buffering=0)  # so that nothing is left to be written later
        except BaseException:
            self.close()
            raise

    def _write(self, files: Mapping[str, Sequence[dict[str, str]]]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(_lines([COLUMNS, *(row.values() for rows in files.values() for row in rows)]))

    def _read(self) -> list[dict[str, str]]:
        data = self.path.read_bytes() if self.path.exists() else b""
        if _lines([COLUMNS]).startswith(data):
            return []
        try:
            # Whoever wrote the last line may have been stopped in the middle of it, or of a letter.
            text = data[: data.rfind(b"\n") + 1].decode("utf-8-sig")
            head, *rows = [*csv.reader(io.StringIO(text, newline=""), strict=data.endswith(b"\n"))] or [[]]
        except (UnicodeDecodeError, csv.Error) as error:
            raise OutputError(f"'{self.path}' is no table of answers ({error}): name another file.") from error
        if tuple(head) != COLUMNS:
            kind = "a table of another version of this program" if "verdict" in head else "no table of answers"
            raise OutputError(f"'{self.path}' is {kind}: name another file, and it is written anew.")
        kept = [dict(zip(COLUMNS, row, strict=True)) for row in rows if len(row) == len(COLUMNS)]
        ours = cell(self.model["name"]), cell(self.model["trained"]), self.rule
        for row in kept:
            theirs = row["model"], row["trained"], row["rule"]
            if theirs != ours:
                model, trained, rule = theirs
                raise OutputError(
                    f"'{self.path}' holds answers of the model {model} ({trained}) by the {rule}: name another file."
                )
        return kept

    def began_empty(self) -> bool:
        """Return whether it had no answers before."""
        return not self._rows

    def finished(self, path: Path) -> Answer | None:
        """Return what a row says of a file, verdict and seconds; None if the file has to be judged."""
        row = self._rows.get(cell(path))
        if row is None:
            return None
        try:
            if file_sha256(path) != row["sha256"]:
                return None
            seconds = float(row["seconds"])
        except (OSError, ValueError):
            return None
        return Answer(blank(path, None, self.model) | {"verdict": row["verdict"], "seconds": seconds}, known=True)

    def add(self, result: dict, glimpse: Glimpse | None = None) -> None:
        """Append an answer, unless it has the one to this file already."""
        row = self._rows.get(cell(result["path"]))
        if row is not None and row["sha256"] == result["sha256"]:
            return
        self._superseded |= row is not None
        channels = [{"channel": number, **one} for number, one in enumerate(result["channels"] or (), 1)]
        rows = [self._row(result | one) for one in ({"channel": None, "channels": len(channels) or None}, *channels)]
        size = os.fstat(self._file.fileno()).st_size
        try:
            write_all(self._file, _lines(rows))
        except OSError as error:
            with contextlib.suppress(OSError):  # the beginning of a row is no answer
                self._file.truncate(size)
            raise OutputError(f"'{self.path}' cannot be written ({error.strerror}): make room on the disk.") from error
        # Linux and macOS go on writing into what has no name any more.
        if not self._in_place():
            raise OutputError(
                f"'{self.path}' was removed or replaced while it was written: start the same command again."
            )

    def _row(self, answer: dict) -> list[str]:
        """Return the cells of a row about a file, or one of its channels."""
        fakes = (f"{s['start']:.2f}-{s['end']:.2f}" for s in answer["segments"] if s["label"] == "Fake")
        shares = {f"p_{name.lower()}": (answer["probabilities"] or {}).get(name) for name in CLASS_NAMES}
        about = {"fake_segments": "; ".join(fakes), "model": self.model["name"], "trained": self.model["trained"]}
        of_file = {"channels": None, "notes": None} if answer["channel"] else {"notes": " ".join(answer["notes"])}
        values = answer | shares | about | of_file | {"rule": self.rule}
        return ["" if values[column] is None else cell(values[column]) for column in COLUMNS]

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            return False

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let other scans have it."""
        try:
            if self._file is not None:
                in_place = self._in_place()
                self._file.close()
                if self._superseded and in_place:  # the last row of a file takes the place of the first
                    with contextlib.suppress(OSError):  # the next command reads both rows rightly
                        self._write(_by_file(self._read()))
        finally:
            if self._lock is not None:
                self._lock.release()


def _is_whole(rows: Sequence[dict[str, str]]) -> bool:
    """Return whether a file was judged, and the rows about all of its channels are there."""
    return not rows[0]["error"] and (rows[0]["channels"] or "0") == str(len(rows) - 1)


def _by_file(rows: Iterable[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Return the last row about each file, with those about its channels behind it."""
    files: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if not row["channel"]:
            files[row["path"]] = [row]
        elif row["path"] in files:
            files[row["path"]].append(row)
    return files


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
