"""What all files of answers have in common."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError
from ..features.draw import Glimpse


@contextlib.contextmanager
def writing(path: Path, another: str = "file") -> Iterator[None]:
    """Say in one sentence why a block cannot write."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror}): close what shows it, or name another {another}."
        ) from error


class Writer(contextlib.AbstractContextManager):
    """What takes answers one by one; its end as a context manager finishes what it writes.

    Attributes
    ----------
    listen_seconds : float or None
        How much sound of a recording's beginning it wants, beside spectrogram and waveform; None for none of them.
    """

    listen_seconds: float | None = None

    @abc.abstractmethod
    def add(self, result: dict, glimpse: Glimpse | None = None) -> None:
        """Write one answer of :func:`deepfake_audio.judging.many.answer`; OutputError if that fails.

        There is a glimpse if the recording could be judged and some writer wants one.
        """

    def __exit__(self, *error) -> None:
        pass
