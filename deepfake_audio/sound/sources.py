"""What a program may hand over as a recording: a path, bytes, an open file, or samples in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AudioError

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 1_000_000
"""Rates outside are taken for a damaged header, before resampling turns them into terabytes."""

MOST_CHANNELS = 8
"""Of samples in memory; also of recordings whose channels may be judged one by one."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples in memory, which take the same way as those of a file.

    Attributes
    ----------
    values : ndarray of float32, shape (samples, channels)
        Full scale is 1.
    sample_rate : int
        In Hz.
    is_float : bool
        They were no whole numbers, so that a peak beyond full scale is not clipped yet.
    """

    values: np.ndarray
    sample_rate: int
    is_float: bool

    def __str__(self) -> str:
        return "samples in memory"


@contextlib.contextmanager
def opened(source: Any, sample_rate: float | None = None, name: str = "") -> Iterator[Path | Samples]:
    """Return a recording as a path or as samples; a context manager.

    Parameters
    ----------
    source : path, bytes, open binary file, or array
        Bytes and files hold a recording of any kind; they are kept in a temporary file inside the block, because
        MP4 may have its index at the end. Arrays have the shape (n,), (n, channels) or (channels, n).
    sample_rate : float, optional
        Of samples, in Hz; a file says its own.
    name : str
        What to call bytes or a file in sentences.

    Raises
    ------
    AudioError
        If there is no rate or one too many, or nothing to read; also in place of an error in the block, which would
        name the temporary file.
    """
    if isinstance(source, Samples):
        yield source
        return
    is_path, is_bytes = isinstance(source, (str, os.PathLike)), isinstance(source, (bytes, bytearray, memoryview))
    if not (is_path or is_bytes or hasattr(source, "read")):
        yield as_samples(source, sample_rate)
        return
    if sample_rate is not None:
        raise AudioError("A recording in a file has its own rate: leave sample_rate out, or give samples as an array.")
    if is_path:
        yield Path(source)
        return
    name = name or ("The recording in memory" if is_bytes else f"'{getattr(source, 'name', 'the open file')}'")
    with tempfile.TemporaryDirectory(prefix="deepfake-audio-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "recording"
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(io.BytesIO(source) if is_bytes else source, file)
        except (OSError, TypeError, ValueError) as error:  # a text file, or one that is closed
            raise AudioError(f"{name} cannot be read ({error}): give it open and in binary mode.") from error
        if not path.stat().st_size:
            raise AudioError(f"{name} is empty (0 bytes): see whether what should fill it failed.")
        try:
            yield path
        except AudioError as error:
            raise AudioError(str(error).replace(f"'{path}'", name)) from error


def as_samples(values: Any, sample_rate: float | None) -> Samples:
    """Return samples as floats, one column per channel.

    Parameters
    ----------
    values : array, shape (n,), (n, channels) or (channels, n)
        Floats with full scale at 1, or whole numbers, which are scaled by their type.
    sample_rate : float or None
        In Hz.

    Raises
    ------
    AudioError
        If the rate is missing or no rate, or the array is no sound.
    """
    rate = checked_rate(sample_rate)
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise AudioError(f"Samples must be floats or whole numbers, not {array.dtype}: give a numpy array of sound.")
    if array.ndim == 2 and max(array.shape) > min(array.shape) <= MOST_CHANNELS:
        array = array if array.shape[0] > array.shape[1] else array.T
    elif array.ndim != 1:
        raise AudioError(
            f"Samples of shape {array.shape} are ambiguous: give (samples,) or (samples, channels), at most "
            f"{MOST_CHANNELS} channels and more samples than channels."
        )
    if not array.size:
        raise AudioError("There are no samples: record or load some first.")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise AudioError("Some samples are NaN or infinite: see what made them, or replace them by zeros.")
        floats = array.astype(np.float32)
    else:
        full = 2.0 ** (8 * array.dtype.itemsize - 1)
        floats = ((array - (full if array.dtype.kind == "u" else 0.0)) / full).astype(np.float32)
    return Samples(floats.reshape(len(floats), -1), rate, array.dtype.kind == "f")


def checked_rate(sample_rate: float | None) -> int:
    """Return the rate of samples in memory in Hz; raise an AudioError if it is missing, or no rate."""
    if sample_rate is None:
        raise AudioError("Samples need their rate: judge(samples, sample_rate=16000), or whatever it is in Hz.")
    try:
        rate = float(sample_rate)
    except (TypeError, ValueError):
        rate = math.nan
    if not (LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ and rate == int(rate)):
        raise AudioError(
            f"A sample rate of {sample_rate!r} is none: give a whole number from {LOWEST_RATE_HZ} to "
            f"{HIGHEST_RATE_HZ}, in Hz."
        )
    return int(rate)
