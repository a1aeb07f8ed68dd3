"""What all files of answers have in common."""

from __future__ import annotations

import abc
import contextlib

from ..features.draw import Glimpse


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
        """Write one answer.

        Parameters
        ----------
        result : dict
            From :func:`deepfake_audio.judging.many.answer`.
        glimpse : Glimpse, optional
            Of the recording, if it could be judged and some writer wants one.

        Raises
        ------
        OutputError
            If it cannot be written.
        """

    def __exit__(self, *error) -> None:
        pass
