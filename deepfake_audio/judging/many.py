"""Many recordings at once -> one answer each, in their order.

Nothing that a single file does stops the others: its error is its answer.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..console import bar
from ..errors import DeepfakeAudioError, Stopped
from ..features.draw import Glimpse
from ..files import file_sha256
from ..sound import decoders
from ..sound.sources import opened
from ..text import clean
from ..version import SCHEMA

RESULT_KEYS = (
    *("schema", "path", "verdict", "reason", "confidence", "probabilities", "seconds", "speech_seconds"),
    *("fake_seconds", "segments", "channels", "notes", "sha256", "model", "threshold", "operating_point", "error"),
)
"""What an answer holds, in this order; ``None`` where there is nothing to say."""

STANDARD_INPUT = "-"
"""In place of a path: the recording comes through a pipe."""


@dataclasses.dataclass
class Answer:
    """What is said about one recording: ``RESULT_KEYS``, of which ``error`` is a sentence where it cannot be judged.

    There is a `glimpse` where pictures are wanted; `known` is what comes from a table that was there before.
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
    """Return the answer to one file, filling `glimpse`; `heard` is told how many seconds have been read."""
    result = blank(path, None, model)
    piped = str(path) == STANDARD_INPUT
    try:
        with opened(sys.stdin.buffer if piped else path, name="Standard input") as kept:
            result |= detector.judge(kept, glimpse=glimpse, heard=heard).to_dict() | rule_of(detector)
            result["sha256"] = file_sha256(kept)
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

    The worker sees the checkpoint under this path, too; `glimpse` is empty, and each recording fills a copy of its own.
    """

    checkpoint: Path
    threshold: float | None
    engine: str
    operating_point: int
    model: dict[str, str]
    glimpse: Glimpse | None = None

    def __call__(self, path: Path) -> Answer:
        """Judge one file."""
        detector = _kept_detector(self.checkpoint.absolute(), self.threshold, self.engine, self.operating_point)
        told = answer(path.absolute(), detector, self.model, copy.deepcopy(self.glimpse))
        told.result["path"] = str(path)
        return told


@functools.lru_cache(maxsize=1)
def _kept_detector(checkpoint: Path, threshold: float | None, engine: str, operating_point: int):
    from .detector import Detector

    return Detector(checkpoint, threshold, engine, operating_point)


def blank(path: Path | str, error: str | None, model: dict[str, str]) -> dict:
    """Return a result that says nothing, or nothing but an error."""
    said = {"schema": SCHEMA, "path": str(path), "model": model, "segments": [], "notes": [], "error": error}
    return dict.fromkeys(RESULT_KEYS) | said


def rule_of(detector) -> dict:
    """Return what an answer says about the rule of the verdict."""
    point = detector.operating_point if detector.threshold is None else None
    return {"threshold": detector.threshold, "operating_point": point}


def answer_all(
    found: Iterable[tuple[Path, str | None]], judge: Callable[[Path], Answer], model: dict[str, str], jobs: int = 1
) -> Iterator[Answer]:
    """Yield one answer per recording that was looked for, in their order; `jobs` threads call `judge` at a time."""

    def answered(one: tuple[Path, str | None]) -> Answer:
        path, error = one
        return Answer(blank(path, error, model)) if error else judge(path)

    return in_order(answered, found, jobs)


def in_order(work: Callable[[Any], Any], items: Iterable[Any], jobs: int) -> Iterator[Any]:
    """Yield what `work` makes of each item, in their order; as many threads as `jobs` call it."""
    pool = ThreadPoolExecutor(jobs)
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            # Answers may hold pictures and sound: only so many wait for one that takes long.
            while len(waiting) > 4 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After Ctrl-C nobody waits for the files that were begun.
        pool.shutdown(wait=False, cancel_futures=True)


def judge_all(
    found: Sequence[tuple[Path, str | None]],
    detector,
    model: dict[str, str],
    jobs: int,
    glimpse: Callable[[], Glimpse | None],
    known: Callable[[Path], Answer | None],
) -> Iterator[Answer]:
    """Yield one answer per recording, in their order, from so many cores (`jobs`); stderr shows how far the work is.

    `glimpse` returns what gathers a recording for pictures, if any are wanted, `known` the answer that is there.
    """
    shown, stopped = bar(len(found), leave=False), threading.Event()

    def judge(path: Path) -> Answer:
        def heard(seconds: float) -> None:
            shown.set_postfix_str(clean(f"{path.name}: {seconds / 60:.1f} min heard"))
            if stopped.is_set():
                raise Stopped

        return known(path) or answer(path, detector, model, glimpse(), heard)

    try:
        # Half of them wait for their decoders, which are processes of their own, while the others are judged.
        yield from _shown(answer_all(found, judge, model, 2 * jobs), shown)
    finally:
        stopped.set()
        decoders.stop()  # nobody waits for a decoder that hangs


def judge_on_cluster(
    found: Sequence[tuple[Path, str | None]], judge: Judge, known: Callable[[Path], Answer | None]
) -> Iterator[Answer]:
    """Do what :func:`judge_all` does inside a :func:`deepfake_audio.work.cluster` block: its workers judge."""
    from ..work import in_parallel

    there = [Answer(blank(path, error, judge.model)) if error else known(path) for path, error in found]
    wanted = [path for (path, _), answered in zip(found, there, strict=True) if not answered]
    answers = in_parallel(judge, zip(wanted, strict=True), -1)
    yield from _shown((answered or next(answers) for answered in there), bar(len(found), leave=False))


def _shown(answers: Iterable[Answer], shown) -> Iterator[Answer]:
    """Pass answers on, and out of their way show how many there are."""
    with shown:
        for one in answers:
            shown.clear()
            yield one
            shown.update()
