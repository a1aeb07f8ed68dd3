"""libsndfile in processes of its own: a recording that crashes or hangs the decoder ends its process, not ours.

A process is started by whoever finds none idle, decodes one recording after the other, and ends with us, or when there
is nothing to do for a while. What it is asked and what it answers goes through its standard input and output, so that
it needs nothing of what we have loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from . import lengths

if TYPE_CHECKING:
    from .spawned import Spawned

    Decoder = subprocess.Popen | Spawned

TIMEOUT_SECONDS = 60.0
"""Far more than one block needs, also on a slow disk; only a decoder that hangs takes longer."""

MOST_DECODERS = max(4, 2 * (os.cpu_count() or 1))
"""That work at a time; who needs one more waits, but not longer than one may hang."""

IDLE_SECONDS = 30.0
"""After so long without work, a decoder is not asked any more; after twice as long it ends by itself, so that none does
so between request and answer."""

MEMORY_BYTES = 2**30
"""What decoding one recording may take beyond what an idle decoder has; held to on Linux only."""

BLOCK_VALUES = 2**20
"""Recordings are decoded block by block; in a block, frames times channels are at most so many."""

# libsndfile says this many frames when a FLAC header leaves the length open (encoders that write to a pipe do).
UNKNOWN_FRAMES = 2**62

MESSAGE = struct.Struct("<cI")
"""Kind and length of what comes back."""
UNKNOWN, HEADER, SAMPLES, END, DAMAGED, TOO_LARGE = (bytes([letter]) for letter in b"uhsedm")


class DecoderLost(Exception):  # noqa: N818 - says what became of the decoder
    """The process is gone in the middle of a recording; the message says why, to be put behind the file's name."""


class Recording:
    """One recording in the hands of a decoder; a context manager.

    Attributes
    ----------
    header : dict or None
        ``samplerate``, ``channels``, ``frames``, ``format`` and ``subtype`` as soundfile names them, and ``notes``,
        what a reader should know; None where libsndfile does not know the format or the length.

    Raises
    ------
    DecoderLost
        If the recording crashes, hangs or overfills the decoder.
    """

    def __init__(self, path: Path, decode: bool = True):
        self._decoder, self._ended = _borrow(), False
        try:
            kind, data = self._ask(
                name_elsewhere(path), TIMEOUT_SECONDS, 2 * IDLE_SECONDS, BLOCK_VALUES if decode else 0
            )
            self.header = json.loads(data) if kind == HEADER else None
            self._ended = kind != HEADER or not decode
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of float32, shape (frames, channels); raise a ValueError if it is damaged or cut short."""
        while not self._ended:
            kind, data = self._hear()
            self._ended = kind != SAMPLES
            if kind == DAMAGED:
                raise ValueError("decoding failed")
            if kind == SAMPLES:
                yield np.frombuffer(data, dtype=np.float32).reshape(-1, self.header["channels"])

    def close(self) -> None:
        """Give the decoder back, or end it if it is in the middle of something."""
        if self._decoder is not None:
            _give_back(self._decoder, self._ended)
            self._decoder = None

    def _ask(self, *request: object) -> tuple[bytes, bytes]:
        try:
            self._decoder.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._decoder.stdin.flush()
        except OSError as error:
            raise DecoderLost("was not decoded, because the decoder was ended from outside: try again") from error
        return self._hear()

    def _hear(self) -> tuple[bytes, bytes]:
        kind, length, data = b"", 0, b""
        with contextlib.suppress(ConnectionError):  # as sockets say that the other end is gone
            head = self._decoder.stdout.read(MESSAGE.size)
            kind, length = MESSAGE.unpack(head) if len(head) == MESSAGE.size else (b"", 0)
            data = self._decoder.stdout.read(length)
        if kind == TOO_LARGE:
            raise DecoderLost(f"needs more than {MEMORY_BYTES >> 20} MiB to be decoded: convert it to WAV first")
        if not kind or len(data) < length:
            # 1 is how faulthandler ends a process whose time is over.
            hung = self._decoder.wait() == 1
            raise DecoderLost(
                f"was not decoded within {TIMEOUT_SECONDS:g} s for a part of it: convert it to WAV first"
                if hung
                else "makes the decoder crash: convert it to WAV with another program"
            )
        return kind, data


_idle: dict[Decoder, float] = {}
"""Since when, by the monotonic clock; the last one has worked most recently."""
_busy: set[Decoder] = set()
_changed = threading.Condition()


def name_elsewhere(path: str | os.PathLike) -> str:
    """Return a name that means the same to another process, whose /dev/stdin is another file."""
    return os.fspath(path) if os.name == "nt" else os.path.realpath(path)


def prepare() -> None:
    """Start a decoder before there is something to decode: it is ready when the network is."""
    _give_back(_borrow(), True)


def _borrow() -> Decoder:
    with _changed:
        # Whoever holds all of them in one thread would wait for himself.
        _changed.wait_for(lambda: len(_busy) < MOST_DECODERS, TIMEOUT_SECONDS)
        while _idle:
            decoder, since = _idle.popitem()
            if decoder.poll() is None and time.monotonic() - since < IDLE_SECONDS:
                break
            _end(decoder)
        else:
            decoder = _start()
        _busy.add(decoder)
        return decoder


def _start() -> Decoder:
    if getattr(sys, "frozen", False) or not sys.executable:
        from .spawned import Spawned

        if "--multiprocessing-fork" in sys.argv:
            raise DecoderLost("was not decoded: the program must call multiprocessing.freeze_support() first")
        return Spawned(serve_through)
    # Everything that can be imported here can be imported there, and nothing from the working directory.
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # it calculates nothing
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows would open a console
    )


def _give_back(decoder: Decoder, reusable: bool) -> None:
    with _changed:
        _busy.discard(decoder)
        if reusable:
            _idle[decoder] = time.monotonic()
        _changed.notify()
    if not reusable:
        _end(decoder)


def _end(decoder: Decoder) -> None:
    decoder.kill()
    decoder.wait()
    for pipe in (decoder.stdin, decoder.stdout):
        with contextlib.suppress(OSError):  # what was never sent cannot be sent any more
            pipe.close()


@atexit.register
def stop() -> None:
    """End all decoders, also those in the middle of a recording, whose readers then get a :class:`DecoderLost`."""
    with _changed:
        idle, busy = list(_idle), list(_busy)
        _idle.clear()
    for decoder in idle:
        _end(decoder)
    for decoder in busy:
        decoder.kill()  # whoever uses it closes its pipes


def _forget() -> None:
    """Leave the decoders to the process that started them: two askers would get each other's answers."""
    global _changed
    _changed = threading.Condition()
    _idle.clear()
    _busy.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# In the other process


def serve() -> None:
    """Decode what standard input names until it ends."""
    serve_through(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))


def serve_through(requests, answers) -> None:
    """Decode what the lines of a binary stream name until it ends; the answers go to another one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked hears Ctrl-C too and ends us
    # What a library prints must not come between the answers.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        _limit_memory()
        idle_seconds = 2 * IDLE_SECONDS
        while True:
            with _in_time(idle_seconds, nowhere):
                request = requests.readline()
            if not request:
                return
            path, timeout, idle_seconds, block_values = json.loads(request)
            try:
                _serve(path, functools.partial(_in_time, timeout, nowhere), block_values, answers)
            except MemoryError:
                _answer(answers, TOO_LARGE)


@contextlib.contextmanager
def _in_time(seconds: float, nowhere) -> Iterator[None]:
    """End the process if the block takes longer, from a thread of its own: also where a library is stuck in C."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _serve(path: str, in_time: Callable, block_values: int, answers) -> None:
    try:
        with in_time(), Path(path).open("rb") as file:
            patches = lengths.patches(file)
            sound = soundfile.SoundFile(lengths.Mended(io.FileIO(path), patches) if patches else path)
            known = lengths.counts_all(file, sound.format) and not (patches and len(lengths.starts(file)) > 1)
    except (soundfile.SoundFileError, OSError, TypeError, UnicodeError):
        # TypeError: soundfile takes the suffix .raw for headerless samples and asks for their rate.
        # UnicodeError: it does not pass on Linux names that are not UTF-8; ffmpeg takes them.
        return _answer(answers, UNKNOWN)
    with sound:
        # RAW is what libsndfile takes any bytes for where a name ends in .vox or .gsm; of VOC, it takes headers of
        # blocks for samples.
        if not known or sound.frames >= UNKNOWN_FRAMES or not sound.channels or sound.format in ("RAW", "VOC"):
            return _answer(answers, UNKNOWN)
        names = ("samplerate", "channels", "frames", "format", "subtype")
        header = {name: getattr(sound, name) for name in names} | {"notes": [lengths.STOPPED] if patches else []}
        _answer(answers, HEADER, json.dumps(header).encode("ascii"))
        while block_values:
            # Where the header promises more than there is, libsndfile takes what is there of WAV, MP3 and OGG, and
            # fails for FLAC, whose decoder would otherwise hand out a broken last frame.
            try:
                with in_time():
                    block = sound.read(max(1, block_values // sound.channels), dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, OSError):
                return _answer(answers, DAMAGED)
            if not len(block):
                return _answer(answers, END)
            _answer(answers, SAMPLES, block)


def _answer(answers, kind: bytes, data=b"") -> None:
    data = memoryview(data).cast("B")
    answers.write(MESSAGE.pack(kind, len(data)))
    answers.write(data)
    answers.flush()
