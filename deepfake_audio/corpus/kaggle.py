"""Datasets from Kaggle: mounted in a notebook, kept from an earlier download, or fetched now.

Fetching and unpacking is kagglehub's work, an optional package, under supervision: whoever packs an archive decides
what is in it. What was fetched once is used without asking the network again. Other archives are never unpacked.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import CorpusError
from ..places import how_to_install

MOUNTS = Path("/kaggle/input")
"""Where Kaggle's notebooks have the datasets that were added to them."""

HANDLE = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*")
"""``OWNER/NAME``, as in the address of a dataset's page."""
PAGE = re.compile(rf"(?:https?://)?(?:www\.)?kaggle\.com/datasets/({HANDLE.pattern})(?:[/?#].*)?")
"""That address."""

MOST_TIMES_LARGER = 100
"""Than its archive is what is in it: recordings hardly shrink."""
HARMLESS_BYTES = 2**30
"""What is in an archive may be so much, however small the archive."""


def dataset_folder(handle: str) -> Path:
    """Find the folder of a dataset on this machine, or fetch it.

    Parameters
    ----------
    handle : str
        ``OWNER/NAME``.

    Returns
    -------
    Path
        Its folder: a notebook's mount, else the newest complete version in kagglehub's cache, else what kagglehub
        downloads.

    Raises
    ------
    CorpusError
        When it must be fetched and kagglehub is missing or fails, or when the dataset is not what one would train on:
        it unpacks to far more than it is, or has links to what is not in it.
    """
    owner, name = handle.split("/")
    for mount in (MOUNTS / name, MOUNTS / "datasets" / owner / name):
        if mount.is_dir() and any(mount.iterdir()):
            break
    else:
        mount = _cached(owner, name) or _fetch(handle)
    if out := _link_out_of(mount):
        raise CorpusError(
            f"{handle} has links to what is not in it (such as {out}): remove them from {mount} if you know what they "
            "are for, or choose another dataset."
        )
    return mount


def _link_out_of(folder: Path) -> str | None:
    """Return a link below a folder that leads out of it, and where to, if there is one."""
    root = os.path.realpath(folder)
    waiting = [root]
    while waiting:
        # What cannot be read is told of where the clips are listed.
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if not entry.is_symlink():
                    waiting += [entry.path] if entry.is_dir() else []
                elif not (target := Path(os.path.realpath(entry.path))).is_relative_to(root):
                    return f"{os.path.relpath(entry.path, root)} -> {target}"
    return None


def _cached(owner: str, name: str) -> Path | None:
    """Return the newest version that kagglehub has marked as complete."""
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
    folder = cache / "datasets" / owner / name
    marked = [int(mark.stem) for mark in folder.glob("*.complete") if mark.stem.isdigit()] if folder.is_dir() else []
    kept = [version for version in marked if (folder / "versions" / str(version)).is_dir()]
    return folder / "versions" / str(max(kept)) if kept else None


def _fetch(handle: str) -> Path:
    by_hand = f"download https://www.kaggle.com/datasets/{handle} in a browser, unpack it and give --data its folder"
    try:
        import kagglehub
    except ImportError as error:
        what = f"--kaggle {handle} needs the package kagglehub: run '{how_to_install('kaggle')}'"
        raise CorpusError(f"{what}, or {by_hand}.") from error
    try:
        # What kagglehub prints is not a result.
        with _archives_are_harmless(), contextlib.redirect_stdout(sys.stderr):
            return Path(kagglehub.dataset_download(handle))
    except CorpusError as error:
        raise CorpusError(f"{handle} was not unpacked: {error}") from error
    except Exception as error:  # whatever a server, a proxy, a token or a full disk may bring
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CorpusError(
            f"{handle} cannot be fetched from Kaggle ({reason[:300]}); check name, network, disk and Kaggle's token, "
            f"or {by_hand}."
        ) from error


@contextlib.contextmanager
def _archives_are_harmless() -> Iterator[None]:
    """While kagglehub unpacks, refuse what leads out of the folder, and what grows beyond measure or the disk."""
    from_zip, from_tar = zipfile.ZipFile.extractall, tarfile.TarFile.extractall

    def unpack_zip(archive: zipfile.ZipFile, path=None, members=None, pwd=None) -> None:
        # No member gets more room than it claims, and none is a link or lies outside: zipfile sees to that.
        room = _Room(archive.filename, path or ".")
        for member in archive.infolist():
            room.take(member.file_size)
        from_zip(archive, path, members, pwd)

    def unpack_tar(archive: tarfile.TarFile, path=".", members=None, **options) -> None:
        room = _Room(archive.name, path)

        def with_room() -> Iterator[tarfile.TarInfo]:
            for member in archive if members is None else members:
                room.take(member.size)
                yield member

        try:
            from_tar(archive, path, with_room(), **options)
        except CorpusError:
            shutil.rmtree(path, ignore_errors=True)  # the beginning of it would take the room of something else
            raise

    before = tarfile.TarFile.__dict__.get("extraction_filter")
    zipfile.ZipFile.extractall, tarfile.TarFile.extractall = unpack_zip, unpack_tar
    filters = hasattr(tarfile, "data_filter")  # a Python with the security releases of 2023
    if filters:  # which old versions of kagglehub do not ask for
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        zipfile.ZipFile.extractall, tarfile.TarFile.extractall = from_zip, from_tar
        if filters:
            tarfile.TarFile.extraction_filter = before


class _Room:
    """What may still be unpacked: the disk's, and in proportion to the archive.

    Parameters
    ----------
    archive : path
        Its file.
    folder : path
        Where it is unpacked; need not be there yet.
    """

    def __init__(self, archive: str | os.PathLike, folder: str | os.PathLike):
        self.size, self.taken = Path(archive).stat().st_size, 0
        there = next(place for place in (Path(folder).absolute(), *Path(folder).absolute().parents) if place.is_dir())
        self.free = shutil.disk_usage(there).free

    def take(self, size: int) -> None:
        """Count so many bytes.

        Raises
        ------
        CorpusError
            If there are too many.
        """
        self.taken += size
        if self.taken > max(HARMLESS_BYTES, MOST_TIMES_LARGER * self.size):
            raise CorpusError(
                f"its archive of {self.size / 1e6:,.1f} MB holds more than {MOST_TIMES_LARGER} times as much, as no "
                "recordings do; choose another dataset."
            )
        if self.taken > self.free:
            raise CorpusError(f"it is larger than the {self.free / 1e9:,.1f} GB that are free on the disk; make room.")
