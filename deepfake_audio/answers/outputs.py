"""Answers on the console, and the files that are written besides."""

from __future__ import annotations

import contextlib
import json
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
from .formats import FORMATS
from .wording import describe


def show(result: dict, as_json: bool, quiet: bool) -> None:
    """Print one answer as a JSON object, as its verdict alone, or in words; what went wrong goes to stderr."""
    if as_json:
        print(json.dumps(result), flush=True)
    elif quiet:
        print(result["verdict"] or "Error", flush=True)
    elif not result["error"]:
        print("\n".join(describe(result)), flush=True)
    for note in result["notes"]:
        console.say(f"note: '{clean(result['path'])}': {clean(note)}")
    if result["error"]:
        console.say(f"error: {clean(result['error'])}")


def check(found: Sequence[tuple[Path, str | None]], wanted: Mapping[str, Path]) -> None:
    """Refuse to write over a recording, two answers into one file, and many where one is taken.

    `found` comes from :func:`.find.find_recordings`; `wanted` has the files to write by the names of their formats.

    Raises
    ------
    OutputError
        If one of them is, or by its name would be, a recording, or is named twice.
    """
    judged, taken = {_place(path) for path, error in found if error is None}, {}
    for kind in FORMATS:
        path, option = wanted.get(kind.name), f"--{kind.name}"
        if path is None or kind.folder:
            continue
        if kind.alone and len(found) > 1:
            raise OutputError(f"{option} takes the answer to one recording, but {len(found)} are named: name one.")
        if path.suffix.lower() in AUDIO_SUFFIXES or _place(path) in judged:
            raise OutputError(f"{option} names the recording '{path}', which it would replace: name another file.")
        if (other := taken.setdefault(_place(path), option)) != option:
            raise OutputError(f"{other} and {option} name the same file '{path}': name two.")


def _place(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


class Outputs(contextlib.ExitStack):
    """The files that are wanted, by the names of their formats, for answers by a rule; a context manager.

    Its end finishes them, also after an error or Ctrl-C: answers that were given are kept.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: Mapping[str, Path], rule: str):
        super().__init__()
        self.settings, self.model, self._writers, self._table = checkpoint.settings, checkpoint.about(), [], None
        try:
            for kind in FORMATS:
                if kind.name in wanted:
                    self._writers.append(self.enter_context(kind.begin(wanted[kind.name], checkpoint, rule)))
        except ImportError as error:
            self.close()
            what = f"run '{how_to_install('report')}', or leave --report and --plot out."
            raise OutputError(f"Pages and pictures need the package {error.name}: {what}") from error
        except BaseException:
            self.close()  # what was begun is in nobody's way
            raise
        if "csv" in wanted:
            table = self._writers[0]
            if len(self._writers) == 1:
                self._table = table
            elif not table.began_empty():
                console.say(
                    f"{clean(wanted['csv'])} has answers already, but what else is to be written needs the sound: "
                    "everything is judged again."
                )

    def known(self, path: Path) -> Answer | None:
        """Return what the table says of a recording, if that is all that is wanted of it."""
        return self._table.finished(path) if self._table else None

    def glimpse(self) -> Glimpse | None:
        """Return what gathers a recording for pictures, if any are wanted."""
        seconds = [writer.listen_seconds for writer in self._writers if writer.listen_seconds is not None]
        features = self.settings.features
        return Glimpse(features.sample_rate, features.hop_seconds, max(seconds)) if seconds else None

    def add(self, answer: Answer) -> None:
        """Write one answer into each of them; OutputError if one cannot be written."""
        for writer in self._writers:
            writer.add(answer.result, answer.glimpse)
