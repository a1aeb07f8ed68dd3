"""What is printed where, and on which terminals."""

import io
import sys

from deepfake_audio import console


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
    assert terminal.getvalue() == "\rSplicing  10 of 25\rSplicing  20 of 25\rSplicing  25 of 25\n"


def test_a_poor_code_page_gets_escapes_instead_of_an_error(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # has no code page to prepare
    console.prepare()
    print("pause → word")
    sys.stdout.flush()
    assert raw.getvalue().decode("cp1252").strip() == "pause \\u2192 word"
