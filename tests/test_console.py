"""What is printed where, and on which terminals."""

import io
import sys

import pytest

from deepfake_audio import console
from deepfake_audio.text import clean


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_remarks_go_to_stderr(capsys):
    console.say("a remark")
    console.say()
    assert capsys.readouterr() == ("", "a remark\n\n")


def test_progress_is_silent_where_stderr_is_redirected(capsys):
    show = console.progress("Splicing")
    for done in range(1, 21):
        show(done, 20)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_stays_on_one_line_and_ends_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show = console.progress("Splicing")
    for done in range(1, 26):
        show(done, 25)
    text = terminal.getvalue()
    assert text.startswith("\rSplicing:") and text.endswith("\n") and text.count("\n") == 1 and "25/25" in text


def test_a_poor_code_page_gets_escapes_instead_of_an_error(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # has no code page to prepare
    console.prepare()
    print("pause → word")
    sys.stdout.flush()
    assert raw.getvalue().decode("cp1252").strip() == "pause \\u2192 word"


def test_a_text_is_freed_from_what_steers_a_terminal():
    assert clean("a\x1b[31m\x07\r\n\t\x9b\u202eb\u2028") == "a\\x1b[31m\\x07\\r\\n\\t\\x9b\\u202eb\\u2028"
    assert clean("\udcff") == "\\udcff"
    kept = "Gespräch 录音 'quoted' \N{WOMAN}\u200d\N{PERSONAL COMPUTER} <b>"
    assert clean(kept) == kept


def test_a_bar_that_does_not_stay_leaves_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.bar(2, leave=False) as bar:
        bar.update()
        bar.clear()
    assert "0/2" in terminal.getvalue() and "\n" not in terminal.getvalue()
    assert terminal.getvalue().split("\r")[-2:] == [" " * len(terminal.getvalue().split("\r")[-2]), ""]


def test_colour_is_for_terminals_only(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert console.colour("Fake", "33") == "Fake"
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("WT_SESSION", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.colour("Fake", "33") == "\x1b[1;33mFake\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.colour("Fake", "33") == "Fake"


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("posix", "python script.py 'my calls/a b.wav' --model out/m.keras"),
        ("nt", 'python script.py "my calls/a b.wav" --model out/m.keras'),
    ],
)
def test_a_command_is_quoted_as_the_shell_wants_it(monkeypatch, system, line):
    monkeypatch.setattr(console.os, "name", system)
    words = ["python", "script.py", "my calls/a b.wav", "--model", "out/m.keras"]
    assert console.command_line(words) == line
