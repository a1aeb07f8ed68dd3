"""Writing files so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import pathlib
from collections.abc import Iterator


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
        self._lock = filelock.FileLock(self._path)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise InUse from error
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


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`, renamed onto it when the block ends well.

    Parameters
    ----------
    path
        The file that shall exist afterwards. Its folder is made when missing.

    Yields
    ------
    pathlib.Path
        Where to write: same folder (so that renaming never crosses a disk) and same suffix (writers such as
        Keras, matplotlib and soundfile choose the format by it), for instance ``run.tmp-4711.png``.

    Raises
    ------
    OSError
        When the folder cannot be made or the file cannot be renamed. After any error inside the block the
        temporary file is removed and `path` is as it was.
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
    """Remove what was begun for `path`, or for files below it, by processes that were killed: for who has its lock."""
    path = pathlib.Path(path)
    below = path.is_dir()
    pattern = f"*{_TEMPORARY}*" if below else f"{glob.escape(path.stem)}{_TEMPORARY}*{glob.escape(path.suffix)}"
    for leftover in path.rglob(pattern) if below else path.parent.glob(pattern):
        with contextlib.suppress(OSError):  # it does no harm
            leftover.unlink()


def remove_leftovers_below(folder: str | os.PathLike) -> None:
    """Remove what was begun anywhere below `folder` by processes that were killed: for who has its lock."""
    for leftover in pathlib.Path(folder).rglob(f"*{_TEMPORARY}*"):
        with contextlib.suppress(OSError):  # it does no harm
            leftover.unlink()


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with pathlib.Path(path).open("rb") as file:
        # hashlib.file_digest needs Python 3.11
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
