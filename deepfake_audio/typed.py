"""What a word on a command line means, or one sentence that says what is wrong with it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .corpus.clips import class_of
from .corpus.kaggle import HANDLE, PAGE
from .settings import TrainingSettings


def unquoted(text: str) -> str:
    """Take off the quote that Windows leaves at the end of "C:\\My Folder\\", because a backslash stands before it."""
    if '"' not in text or os.path.lexists(text):
        return text
    if '"' in text[:-1]:
        raise argparse.ArgumentTypeError(f"{text!r} holds a quote: write a folder without a backslash at its end")
    return text[:-1]


def path(text: str) -> Path:
    return Path(unquoted(text))


def written_as(suffix: str, what: str, others: Sequence[str]) -> Callable[[str], Path]:
    """Return what understands the name of a file that is written, and refuses the suffixes of what it will not be."""

    def parse(text: str) -> Path:
        file = path(text)
        if file.suffix.lower() in others:
            raise argparse.ArgumentTypeError(f"this writes {what}: name it '{file.with_suffix(suffix)}', not '{file}'")
        return file

    return parse


def number(least: float, most: float, what: str, ends: bool = True) -> Callable[[str], float]:
    """Return what understands a number between two others, the ends included or not."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")  # which lies between no two numbers
        if not least <= value <= most or (not ends and value in (least, most)):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} between {least:g} and {most:g}")
        return value

    return parse


def setting(name: str) -> Callable[[str], int]:
    """Return what understands a number that the settings of a training allow."""
    field = next(field for field in dataclasses.fields(TrainingSettings) if field.name == name)
    return whole_number(*field.metadata["within"])


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or len(text) > 20 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def label(text: str) -> tuple[str, str]:
    name, _, word = text.rpartition("=")
    if not name.strip() or not (label := class_of(word)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=real, NAME=fake or NAME=hybrid")
    return name, label


def kaggle_name(text: str) -> str:
    page = PAGE.fullmatch(text)
    name = page[1] if page else text
    if not HANDLE.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/NAME, as in the address of a dataset's page")
    return name
