"""Words and cells that no name can break: for terminals, tables and spreadsheets."""

from __future__ import annotations

import pathlib
import re
import unicodedata

HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that a name must not bring onto a terminal: controls, direction marks, lone halves, line ends."""

JOINERS = "\u200c\u200d"
"""Of those categories, but part of emoji and of Persian spelling."""

FORMULA = re.compile(r"(^|[;,\t])('*\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What makes a spreadsheet calculate instead of showing a text, full-width forms included: at the beginning, or behind
what some country's spreadsheets take for the end of a cell. A quote before it makes it text; those that were there
already get one more, so that it can be taken away again."""

ESCAPE = re.compile(r"\\(?:[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
"""What :func:`clean` makes of a character."""


def clean(text: object) -> str:
    """Return text with everything escaped that would move a terminal's cursor, colour it or reverse its writing."""
    return "".join(
        character.encode("unicode_escape", "surrogatepass").decode("ascii")
        if unicodedata.category(character) in HARMFUL and character not in JOINERS
        else character
        for character in str(text)
    )


def clean_lines(text: str) -> str:
    """Return text of several lines with each of them cleaned."""
    return "\n".join(map(clean, text.split("\n")))


def cell(value: object) -> str:
    """Return text that a spreadsheet shows as it is, and that a terminal survives; numbers are left alone."""
    if not isinstance(value, (str, pathlib.PurePath)):
        return str(value)
    text = FORMULA.sub(r"\1'\2", str(value))
    return clean(text)


def counted(number: int, noun: str, *verbs: str) -> str:
    """Return ``1 clip`` or ``2 clips``, followed by the first or the second of two verbs if they are given."""
    words = [f"{number} {noun}{'' if number == 1 else 's'}", *verbs[number != 1 :][:1]]
    return " ".join(words)


def exact_cell(text: str) -> str:
    """Return text as harmless as from :func:`cell`, but such that :func:`from_exact_cell` gives the very text back."""
    return cell(text.replace("\\", "\\\\"))


def from_exact_cell(text: str) -> str:
    """Return what :func:`exact_cell` was given."""
    text = ESCAPE.sub(lambda escape: escape[0].encode("ascii").decode("unicode_escape"), text)
    return FORMULA.sub(lambda found: found[1] + found[2].removeprefix("'"), text)
