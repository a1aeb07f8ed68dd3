"""Pages and documents from template files beside the code, in which no name can break out of its place.

A template says where values go; whatever is not :class:`markupsafe.Markup` is escaped as its language wants it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import jinja2
from markupsafe import Markup

from .text import clean


def plain_markdown(text: object) -> Markup:
    """Return names and messages as one line of Markdown that means itself: no table, tag, link, picture or entity."""
    if isinstance(text, Markup):
        return text
    return Markup(re.sub(r"[\\`*_\[\]<>!&|#~]", r"\\\g<0>", clean(" ".join(str(text).split()))))


def _plain_html(text: object) -> object:
    return clean(text) if isinstance(text, str) and not isinstance(text, Markup) else text  # escaped afterwards


def render(template: Path, **values: object) -> str:
    """Return a template filled in.

    Parameters
    ----------
    template : Path
        File of Jinja2's language, UTF-8; its suffix, ``.html`` or ``.md``, says what is escaped and how.
    **values
        What it speaks of.

    Raises
    ------
    jinja2.UndefinedError
        If it speaks of something that is not given.
    """
    escape: Callable[[object], object] = plain_markdown if template.suffix == ".md" else _plain_html
    environment = jinja2.Environment(
        autoescape=True,
        finalize=escape,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(template.parent, encoding="utf-8"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(**values)
