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
    """One of the files that can be asked for.

    Attributes
    ----------
    name : str
        Of its option, behind ``--``.
    help : str
        What ``--help`` says of it.
    begin : callable
        From where it goes, the checkpoint that answers and its rule to a :class:`Writer`; imports what that needs.
    what, suffix : str
        What it is, and what its name should end in; for who names it like something else.
    others : tuple of str
        Suffixes of what it will not be.
    folder : bool
        It is a folder of files.
    alone : bool
        It takes the answer to one recording only.
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
