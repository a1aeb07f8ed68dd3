"""The files that are written besides the answers on the console."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import console
from ..errors import OutputError
from ..features.draw import Glimpse
from ..judging.many import Answer
from ..model.checkpoint import Checkpoint
from ..places import how_to_install
from ..sound.reading import AUDIO_SUFFIXES
from ..text import clean
from .labels import write_labels
from .table import Table


def check(found: Sequence[tuple[Path, str | None]], wanted: Mapping[str, Path | None]) -> None:
    """Refuse to write over a recording, and two answers into one file.

    Parameters
    ----------
    found : sequence of (Path, str or None)
        Recordings that are to be judged, from :func:`deepfake_audio.answers.find.find_recordings`.
    wanted : mapping of str to (Path or None)
        Files that are to be written, by the options that name them.

    Raises
    ------
    OutputError
        If one of them is, or by its name would be, a recording, or is named twice.
    """
    judged, taken = {_place(path) for path, error in found if error is None}, {}
    for option, path in wanted.items():
        if path is None:
            continue
        if path.suffix.lower() in AUDIO_SUFFIXES or _place(path) in judged:
            raise OutputError(f"{option} names the recording '{path}', which it would replace: name another file.")
        if (other := taken.setdefault(_place(path), option)) != option:
            raise OutputError(f"{other} and {option} name the same file '{path}': name two.")


def _place(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


class Outputs:
    """Table, page, pictures and labels, whichever are wanted; a context manager.

    Its end finishes them, also after an error or Ctrl-C: answers that were given are kept.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose answers they hold.
    csv, report, plot, labels : Path or None
        Where they go.
    rule : str
        Of the detector, see :func:`deepfake_audio.judging.decision.name_rule`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        csv: Path | None,
        report: Path | None,
        plot: Path | None,
        labels: Path | None,
        rule: str,
    ):
        self.settings, self.model, self.labels = checkpoint.settings, checkpoint.about(), labels
        self.table = self.report = self.pictures = None
        self._listen_seconds = 0.0
        self._end = contextlib.ExitStack()
        try:
            self._begin(csv, report, plot, rule)
        except BaseException:
            self._end.close()  # what was begun is in nobody's way
            raise
        if self.table and self._need_sound() and not self.table.began_empty():
            console.say(
                f"{clean(csv)} has answers already, but page, pictures and labels need the sound: "
                "everything is judged again."
            )

    def _begin(self, csv: Path | None, report: Path | None, plot: Path | None, rule: str) -> None:
        if csv:
            self.table = self._end.enter_context(contextlib.closing(Table(csv, self.model, rule)))
        try:
            if report:
                from . import page  # loads matplotlib and Jinja2

                self.report = self._end.enter_context(page.Report(report, self.settings, self.model))
                self._listen_seconds = page.LISTEN_SECONDS
            if plot:
                from .pictures import Pictures  # loads matplotlib

                self.pictures = Pictures(plot, self.settings)
        except ImportError as error:
            what = f"run '{how_to_install('report')}', or leave --report and --plot out."
            raise OutputError(f"Pages and pictures need the package {error.name}: {what}") from error

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
            console.say(f"Picture: {clean(self.pictures.add(answer.result, answer.glimpse))}")
        if self.labels and not answer.result["error"]:
            write_labels(self.labels, answer.result["segments"])
