"""Many recordings at once: what a command line names -> one answer each, on the console and in a table.

Nothing that a single file does stops the others: its error is its answer.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import functools
import glob
import io
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..console import Bar
from ..errors import DeepfakeAudioError, OutputError, Stopped
from ..features.draw import Glimpse
from ..files import InUse, Lock, atomic_path, file_sha256, remove_leftovers, write_all
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN
from ..sound import decoders
from ..sound.reading import AUDIO_SUFFIXES
from ..text import cell

RESULT_KEYS = (
    *("path", "verdict", "reason", "confidence", "probabilities", "seconds", "speech_seconds", "fake_seconds"),
    *("segments", "sha256", "model", "threshold", "error"),
)
"""What an answer holds, in this order; ``None`` where there is nothing to say."""

COLUMNS = (
    *("path", "verdict", "reason", "confidence", "p_real", "p_fake", "p_hybrid", "seconds", "speech_seconds"),
    *("fake_seconds", "fake_segments", "sha256", "model", "trained", "threshold", "error"),
)
"""Of the CSV table."""


# What is named

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def find_recordings(names: Sequence[str]) -> list[tuple[Path, str | None]]:
    """Turn files, folders and patterns into the recordings that they stand for.

    A folder stands for every recording below it (known by its suffix, hidden files left out), a pattern such as
    ``calls/*.wav`` or ``**/*.mp3`` for every recording that fits, a file for itself whatever its name. Each
    recording comes once, however often it is named.

    Parameters
    ----------
    names : sequence of str
        As typed; patterns that the shell did not expand (no Windows shell does) are expanded here.

    Returns
    -------
    list of (Path, str or None)
        Recordings in the order of the names, those of one name sorted; with a sentence in place of None where a
        name stands for nothing that could be judged.
    """
    found, seen = [], set()

    def add(path: Path, error: str | None = None) -> None:
        key = os.path.normcase(os.path.realpath(path))
        if error or key not in seen:
            found.append((path, error))
        if not error:
            seen.add(key)

    for name in names:
        path = Path(name)
        if not name:
            # An empty variable of a shell: whoever means this folder says so.
            recordings, errors = [], [(path, "A name is empty: name a recording or a folder, '.' for this one.")]
        elif _ADDRESS.match(name):
            what = f"'{name}' is an address, and nothing is fetched from the network"
            recordings, errors = [], [(path, f"{what}: download it first, with  curl -L -o recording.mp3 '{name}'")]
        elif _is_folder(path):
            recordings, errors = _recordings_below(path)
        elif glob.has_magic(name) and not os.path.lexists(name):
            recordings, errors = _recordings_like(name)
        else:
            recordings, errors = [path], []
        for recording in recordings:
            add(recording)
        for place, error in errors:
            add(place, error)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # not allowed to look, or a zero byte in the name
        return False


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _recordings_below(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    recordings, errors = [], []

    def unreadable(error: OSError) -> None:
        place = Path(error.filename or folder)
        errors.append((place, f"'{place}' cannot be searched ({error.strerror}): change its permissions."))

    for place, subfolders, files in os.walk(folder, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        recordings += [path for path in (Path(place) / file for file in sorted(files)) if _is_recording(path)]
    if not recordings and not errors:
        errors.append(
            (folder, f"'{folder}' holds no recording (WAV, MP3, M4A, FLAC, ...): name a folder with recordings.")
        )
    return recordings, errors


def _recordings_like(pattern: str) -> tuple[list[Path], list[tuple[Path, str]]]:
    recordings, errors = [], []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207 - pathlib takes no absolute pattern
        if _is_folder(path):
            # What is below a folder that the pattern met by chance may well be something else.
            recordings += _recordings_below(path)[0] if "**" not in pattern else []
        elif _is_recording(path):
            recordings.append(path)
    if not recordings:
        errors.append((Path(pattern), f"No recording fits '{pattern}': check the folder and the pattern."))
    return recordings, errors


# Answers


@dataclasses.dataclass
class Answer:
    """What is said about one recording.

    Attributes
    ----------
    result : dict
        ``RESULT_KEYS``; ``error`` is a sentence where the file cannot be judged.
    glimpse : Glimpse or None
        For pictures, where some are wanted and the file could be judged.
    known : bool
        It comes from a table that was there before.
    """

    result: dict
    glimpse: Glimpse | None = None
    known: bool = False


def answer(
    path: Path,
    detector,
    model: dict[str, str],
    glimpse: Glimpse | None = None,
    heard: Callable[[float], None] | None = None,
) -> Answer:
    """Judge one file.

    Parameters
    ----------
    path : Path
        The recording.
    detector : Detector
        Who judges.
    model : dict
        From :meth:`deepfake_audio.model.checkpoint.Checkpoint.about`.
    glimpse : Glimpse, optional
        To be filled.
    heard : callable, optional
        Told how many seconds have been read.
    """
    result = blank(path, None, model)
    try:
        result |= detector.judge(path, glimpse, heard).to_dict()
        result["threshold"] = detector.threshold
        result["sha256"] = file_sha256(path)
    except DeepfakeAudioError as error:
        result["error"] = str(error)
    except OSError as error:
        result["error"] = f"'{path}' cannot be read ({error.strerror}): check the file and the disk."
    except MemoryError:
        result["error"] = f"'{path}' does not fit into memory: close other programs, or cut it into parts."
    return Answer(result, None if result["error"] else glimpse)


@dataclasses.dataclass(frozen=True, eq=False)  # joblib hashes what it sends
class Judge:
    """:func:`answer` as a worker of a cluster is asked for it: it loads the checkpoint once and keeps it.

    Attributes
    ----------
    checkpoint : Path
        That the worker sees under this path, too.
    threshold, engine
        As in :class:`deepfake_audio.judging.detector.Detector`.
    model : dict
        From :meth:`deepfake_audio.model.checkpoint.Checkpoint.about`.
    glimpse : Glimpse or None
        Empty; each recording fills a copy of its own.
    """

    checkpoint: Path
    threshold: float | None
    engine: str
    model: dict[str, str]
    glimpse: Glimpse | None = None

    def __call__(self, path: Path) -> Answer:
        """Judge one file."""
        detector = _kept_detector(self.checkpoint.absolute(), self.threshold, self.engine)
        told = answer(path.absolute(), detector, self.model, copy.deepcopy(self.glimpse))
        told.result["path"] = str(path)
        return told


@functools.lru_cache(maxsize=1)
def _kept_detector(checkpoint: Path, threshold: float | None, engine: str):
    from .detector import Detector

    return Detector(checkpoint, threshold, engine)


def blank(path: Path, error: str | None, model: dict[str, str]) -> dict:
    """Return a result that says nothing, or nothing but an error."""
    return dict.fromkeys(RESULT_KEYS) | {"path": str(path), "model": model, "segments": [], "error": error}


def answer_all(
    found: Iterable[tuple[Path, str | None]], judge: Callable[[Path], Answer], model: dict[str, str], jobs: int = 1
) -> Iterator[Answer]:
    """Yield one answer per recording, in their order.

    Parameters
    ----------
    found : iterable of (Path, str or None)
        From :func:`find_recordings`.
    judge : callable
        From a path to its answer; called by `jobs` threads at a time.
    model : dict
        For the answers that are errors.
    jobs : int
        Recordings that are worked on at the same time.
    """
    pool = ThreadPoolExecutor(jobs)
    waiting = deque()
    try:
        for path, error in found:
            waiting.append((path, error, None if error else pool.submit(judge, path)))
            # Answers may hold pictures and sound: only so many wait for one that takes long.
            while len(waiting) > 4 * jobs:
                yield _first(waiting, model)
        while waiting:
            yield _first(waiting, model)
    finally:
        # After Ctrl-C nobody waits for the files that were begun.
        pool.shutdown(wait=False, cancel_futures=True)


def _first(waiting: deque, model: dict[str, str]) -> Answer:
    path, error, future = waiting.popleft()
    return Answer(blank(path, error, model)) if future is None else future.result()


def judge_all(
    found: Sequence[tuple[Path, str | None]],
    detector,
    model: dict[str, str],
    jobs: int,
    glimpse: Callable[[], Glimpse | None],
    known: Callable[[Path], Answer | None],
) -> Iterator[Answer]:
    """Yield one answer per recording, in their order, and show on stderr how far the work is.

    Parameters
    ----------
    found : sequence of (Path, str or None)
        From :func:`find_recordings`.
    detector : Detector
        Who judges.
    model : dict
        From :meth:`deepfake_audio.model.checkpoint.Checkpoint.about`.
    jobs : int
        Cores to keep busy.
    glimpse : callable
        Returns what gathers a recording for pictures, if any are wanted.
    known : callable
        Returns the answer to a recording that need not be judged any more.
    """
    bar, stopped = Bar(len(found)), threading.Event()

    def judge(path: Path) -> Answer:
        def heard(seconds: float) -> None:
            bar.show(f"{path.name}: {seconds / 60:.1f} min heard")
            if stopped.is_set():
                raise Stopped

        return known(path) or answer(path, detector, model, glimpse(), heard)

    try:
        # Half of them wait for their decoders, which are processes of their own, while the others are judged.
        yield from _shown(answer_all(found, judge, model, 2 * jobs), bar)
    finally:
        stopped.set()
        decoders.stop()  # nobody waits for a decoder that hangs


def judge_on_cluster(
    found: Sequence[tuple[Path, str | None]], judge: Judge, known: Callable[[Path], Answer | None]
) -> Iterator[Answer]:
    """Do what :func:`judge_all` does inside a :func:`deepfake_audio.work.cluster` block: its workers judge.

    Parameters
    ----------
    found, known
        As for :func:`judge_all`.
    judge : Judge
        Travels to the workers.
    """
    from joblib import delayed

    from ..work import parallel

    there = [Answer(blank(path, error, judge.model)) if error else known(path) for path, error in found]
    wanted = [path for (path, _), answered in zip(found, there, strict=True) if not answered]
    answers = parallel(-1)(delayed(judge)(path) for path in wanted)
    yield from _shown((answered or next(answers) for answered in there), Bar(len(found)))


def _shown(answers: Iterable[Answer], bar: Bar) -> Iterator[Answer]:
    """Pass answers on, and out of their way show how many there are."""
    try:
        bar.show()
        for one in answers:
            bar.clear()
            yield one
            bar.step()
    finally:
        bar.clear()


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


# The table


def claim(path: Path) -> Lock | None:
    """Keep other scans from writing a file, until the lock is released or this process ends.

    Parameters
    ----------
    path : Path
        The file. Its folder is made when missing; what a scan that was killed has left beside it is removed.

    Returns
    -------
    Lock or None
        None where the folder cannot be made: whoever writes the file then finds out why.

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


class Table:
    """A CSV file of answers that grows row by row and goes on where it stopped.

    Every row is on disk before the next file is judged. A row that is kept counts as done as long as its file has
    not changed; rows of files that failed are dropped, so that those are tried again.

    Parameters
    ----------
    path : Path
        The file; it may exist already.
    model : dict
        From :meth:`deepfake_audio.model.checkpoint.Checkpoint.about`.
    threshold : float, optional
        That the model is used with. Answers of two models or thresholds are not mixed.

    Raises
    ------
    OutputError
        If the file cannot be written, is no such table, is being written by another process, or holds answers of
        another model or threshold.
    """

    def __init__(self, path: Path, model: dict[str, str], threshold: float | None = None):
        self.path, self.model, self.threshold = Path(path), model, "" if threshold is None else f"{threshold:g}"
        self._file, self._superseded, self._lock = None, False, claim(self.path)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._rows = {row["path"]: row for row in self._read() if not row["error"]}
        try:
            with atomic_path(self.path) as temporary:
                rows = [[row[column] for column in COLUMNS] for row in self._rows.values()]
                temporary.write_bytes(_lines([COLUMNS, *rows]))
            # Unbuffered, so that nothing is left to be written later.
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(
                f"'{self.path}' cannot be written ({error.strerror}): close what shows it, or name another file."
            ) from error

    def _read(self) -> list[dict[str, str]]:
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
            # Whoever wrote the last line may have been stopped in the middle of it, or of a letter.
            text = data[: data.rfind(b"\n") + 1].decode("utf-8-sig")
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=data.endswith(b"\n")))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise OutputError(f"'{self.path}' is no table of answers ({error}): name another file.") from error
        if data and not rows and not data.startswith(COLUMNS[0].encode()):
            raise OutputError(f"'{self.path}' is no table of answers: name another file.")
        if not rows:
            return []
        if tuple(rows[0]) != COLUMNS:
            kind = "a table of another version of this program" if "verdict" in rows[0] else "no table of answers"
            raise OutputError(f"'{self.path}' is {kind}: name another file, and it is written anew.")
        kept = [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:] if len(row) == len(COLUMNS)]
        for row in kept:
            if (row["model"], row["trained"]) != (cell(self.model["name"]), cell(self.model["trained"])):
                raise OutputError(
                    f"'{self.path}' holds answers of the model {row['model']} ({row['trained']}): name another file."
                )
            if row["threshold"] != self.threshold:
                raise OutputError(f"'{self.path}' holds answers with another --threshold: name another file.")
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

    def add(self, result: dict) -> None:
        """Append an answer, unless it has the one to this file already."""
        row = self._rows.get(cell(result["path"]))
        if row is not None and row["sha256"] == result["sha256"]:
            return
        self._superseded |= row is not None
        shares = result["probabilities"] or {}
        fakes = (f"{s['start']:.2f}-{s['end']:.2f}" for s in result["segments"] if s["label"] == "Fake")
        values = (
            *(result[key] for key in ("path", "verdict", "reason", "confidence")),
            *(shares.get(name) for name in CLASS_NAMES),
            *(result["seconds"], result["speech_seconds"], result["fake_seconds"], "; ".join(fakes)),
            *(result["sha256"], self.model["name"], self.model["trained"], self.threshold, result["error"]),
        )
        size = os.fstat(self._file.fileno()).st_size
        try:
            write_all(self._file, _lines([["" if value is None else cell(value) for value in values]]))
        except OSError as error:
            with contextlib.suppress(OSError):  # the beginning of a row is no answer
                self._file.truncate(size)
            raise OutputError(f"'{self.path}' cannot be written ({error.strerror}): make room on the disk.") from error
        # Linux and macOS go on writing into what has no name any more.
        if not self._in_place():
            raise OutputError(
                f"'{self.path}' was removed or replaced while it was written: start the same command again."
            )

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            return False

    def _tidy(self) -> None:
        """Keep one row of a file that changed since it was judged: the later one, in the place of the earlier one."""
        rows = {row[0]: row for row in csv.reader(io.StringIO(self.path.read_text(encoding="utf-8"), newline=""))}
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(_lines(rows.values()))

    def close(self) -> None:
        """Close the file and let other scans have it."""
        try:
            if self._file is not None:
                in_place = self._in_place()
                self._file.close()
                if self._superseded and in_place:
                    with contextlib.suppress(OSError):  # the next command reads both rows rightly
                        self._tidy()
        finally:
            if self._lock is not None:
                self._lock.release()


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
