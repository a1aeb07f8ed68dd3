"""What can be written besides the answers on the console: a row per format, so that a new one is a row and a module."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint
    from .writer import Writer


@dataclasses.dataclass(frozen=True)
class Format:
    """One of the files that can be asked for by ``--NAME``.

    `begin` makes a :class:`Writer` of its path, the checkpoint that answers and its rule, and imports what that needs.
    `what` it is, the `suffix` of its name and those of what it will not be (`others`) are told to who names it like
    something else. It may be a `folder` of files, and may take the answer to one recording `alone`.
    """

    name: str
    help: str
    begin: Callable[[Path, Checkpoint, str], Writer]
    what: str = ""
    suffix: str = ""
    others: tuple[str, ...] = ()
    folder: bool = False
    alone: bool = False


def _table(path: Path, checkpoint: Checkpoint, rule: str) -> Writer:
    from .table import Table

    return Table(path, checkpoint.about(), rule)


def _page(path: Path, checkpoint: Checkpoint, _: str) -> Writer:
    from . import page

    return page.Report(path, checkpoint.settings, checkpoint.about())


def _pictures(path: Path, checkpoint: Checkpoint, _: str) -> Writer:
    from .pictures import Pictures

    return Pictures(path, checkpoint.settings)


def _labels(path: Path, *_) -> Writer:
    from .labels import Labels

    return Labels(path)


FORMATS = (
    Format(
        "csv",
        "also write a table; files that it already answers are passed over",
        _table,
        "a table that every spreadsheet opens",
        ".csv",
        (".xlsx", ".xls", ".ods", ".numbers"),
    ),
    Format(
        "report",
        "also write a page (HTML) to listen, look and print",
        _page,
        "a page, which a browser shows and prints",
        ".html",
        (".pdf", ".docx", ".doc", ".odt", ".txt", ".md", ".json", ".png", ".jpg"),
    ),
    Format("plot", "also draw each recording into DIR: spectrogram, waveform, timeline", _pictures, folder=True),
    Format("labels", "also write the timeline of one recording as Audacity labels", _labels, alone=True),
)
