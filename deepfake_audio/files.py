"""Writing files so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Iterable, Iterator


class InUse(Exception):  # noqa: N818 - somebody else is right
    """Another process holds what was to be locked."""


class Lock:
    """A lock on `path` that nobody else gets until :meth:`release`, or until this process ends, however it ends.

    Parameters
    ----------
    path : path
        A file that is made for it and removed with it. Where the disk knows no locks, or does not let itself be
        written, there is none, and no complaint.

    Raises
    ------
    InUse
        If another process has it.
    """

    def __init__(self, path: str | os.PathLike):
        import filelock

        self._path = pathlib.Path(path)
        # For all: what a process of another user that was killed has left must not be in the way.
        self._lock: filelock.BaseFileLock | None = filelock.FileLock(self._path, mode=0o666)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            if self._path.exists():
                raise InUse from error
            self._lock = None  # some disks take no file and do not say so
        except (OSError, NotImplementedError):
            self._lock = None

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # Windows removes it afterwards
                self._path.unlink()
            self._lock.release()
            self._lock = None


_TEMPORARY = ".tmp-"
_LEFTOVER = re.compile(rf"(.+){re.escape(_TEMPORARY)}\d+(\.\w+)?")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`, whose folder is made when missing, and rename it when the block ends well.

    It lies in the same folder, so that renaming never crosses a disk, and has the same suffix, by which writers such as
    Keras, matplotlib and soundfile choose the format: ``run.tmp-4711.png``. After any error inside the block it is
    removed, and `path` is as it was.

    Raises
    ------
    OSError
        When the folder cannot be made or the file cannot be renamed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}{_TEMPORARY}{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        # The first error is the one to tell; a temporary file that Windows still holds open must not hide it.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove what processes that were killed had begun for the file `path`: for who has its lock."""
    path = pathlib.Path(path)
    _remove_begun(path.parent.glob("*"), path.name)


def remove_leftovers_below(folder: pathlib.Path) -> None:
    """Remove what processes that were killed had begun anywhere in a folder that nobody but this project writes in."""
    _remove_begun(folder.rglob("*"))


def _remove_begun(files: Iterable[pathlib.Path], name: str | None = None) -> None:
    """Remove those of some files that :func:`atomic_path` made, for a file of this name or for any."""
    for file in list(files):
        begun = _LEFTOVER.fullmatch(file.name)
        if begun and name in (None, f"{begun[1]}{begun[2] or ''}"):
            with contextlib.suppress(OSError):  # it does no harm
                if file.is_file():
                    file.unlink()


def write_all(file: io.RawIOBase, data: bytes | memoryview) -> None:
    """Write into an unbuffered file; a disk that is nearly full may take a part without an error, and then says so."""
    rest = memoryview(data).cast("B")
    while len(rest):
        rest = rest[file.write(rest) :]


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with pathlib.Path(path).open("rb") as file:
        # hashlib.file_digest needs Python 3.11
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
