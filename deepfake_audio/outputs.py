"""The files that are written besides the answers on the console."""

from __future__ import annotations

import contextlib
from pathlib import Path

from . import console
from .checkpoint import Checkpoint
from .glimpse import Glimpse
from .scan import Answer, Table


class Outputs:
    """Table, page, pictures and labels, whichever are wanted; a context manager.

    Its end finishes them, also after an error or Ctrl-C: answers that were given are kept.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose answers they hold.
    csv, report, plot, labels : Path or None
        Where they go.
    threshold : float or None
        That the detector is used with.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        csv: Path | None,
        report: Path | None,
        plot: Path | None,
        labels: Path | None,
        threshold: float | None,
    ):
        self.settings, self.model, self.labels = checkpoint.settings, checkpoint.about(), labels
        self.table = self.report = self.pictures = None
        self._listen_seconds = 0.0
        self._end = contextlib.ExitStack()
        if csv:
            self.table = self._end.enter_context(contextlib.closing(Table(csv, self.model, threshold)))
        if report or plot or labels:
            from . import pages  # loads matplotlib

            self._write_labels = pages.write_labels
            if report:
                self.report, self._listen_seconds = (
                    pages.Report(report, self.settings, self.model),
                    pages.LISTEN_SECONDS,
                )
                self._end.callback(self.report.write)
            if plot:
                self.pictures = pages.Pictures(plot, self.settings)
        if self.table and self._need_sound() and not self.table.began_empty():
            console.say(
                f"{console.clean(csv)} has answers already, but page, pictures and labels need the sound: "
                "everything is heard again."
            )

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error) -> None:
        self._end.__exit__(*error)

    def _need_sound(self) -> bool:
        return bool(self.report or self.pictures or self.labels)

    def known(self, path: Path) -> Answer | None:
        """Return what the table says of a recording, if that is all that is wanted of it."""
        return None if self.table is None or self._need_sound() else self.table.finished(path)

    def glimpse(self) -> Glimpse | None:
        """Return what gathers a recording for pictures, if any are wanted."""
        if not (self.report or self.pictures):
            return None
        features = self.settings.features
        return Glimpse(features.sample_rate, features.hop_seconds, self._listen_seconds)

    def add(self, answer: Answer) -> None:
        """Write one answer into each of them.

        Raises
        ------
        OutputError
            If one cannot be written.
        """
        if self.table:
            self.table.add(answer.result)
        if self.report:
            self.report.add(answer.result, answer.glimpse)
        if self.pictures and answer.glimpse:
            console.say(f"Picture: {console.clean(self.pictures.add(answer.result, answer.glimpse))}")
        if self.labels and not answer.result["error"]:
            self._write_labels(self.labels, answer.result["segments"])
