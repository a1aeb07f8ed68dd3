"""Datasets from Kaggle: mounted in a notebook, kept from an earlier download, or fetched now.

Fetching and unpacking is the work of kagglehub, an optional package, which lets no archive reach out of its folder.
What was fetched once is used without asking the network again. Other archives are never unpacked.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

from ..errors import CorpusError
from ..places import how_to_install

MOUNTS = Path("/kaggle/input")
"""Where Kaggle's notebooks have the datasets that were added to them."""

HANDLE = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*")
"""``OWNER/NAME``, as in the address of a dataset's page."""
PAGE = re.compile(rf"(?:https?://)?(?:www\.)?kaggle\.com/datasets/({HANDLE.pattern})(?:[/?#].*)?")
"""That address."""


def dataset_folder(handle: str) -> Path:
    """Return a notebook's mount of a dataset, else the newest version in kagglehub's cache, else what that downloads.

    Raises
    ------
    CorpusError
        When it must be fetched and kagglehub is missing or fails.
    """
    owner, name = handle.split("/")
    for mount in (MOUNTS / name, MOUNTS / "datasets" / owner / name):
        if mount.is_dir() and any(mount.iterdir()):
            return mount
    return _cached(owner, name) or _fetch(handle)


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
        with contextlib.redirect_stdout(sys.stderr):
            return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # whatever a server, a proxy, a token or a full disk may bring
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CorpusError(
            f"{handle} cannot be fetched from Kaggle ({reason[:300]}); check name, network, disk and Kaggle's token, "
            f"or {by_hand}."
        ) from error
