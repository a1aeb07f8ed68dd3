"""The stress scripts, in small: what they measure in hours, they can measure in seconds."""

import sys

import pytest
from commands import HERE, python

STRESS = HERE / "tests" / "stress"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of other systems")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recordings", "--files", 60), "60 of 60 answered"),
        (("bombs", "--hours", 4.1, "--kinds", "bomb.flac"), "longer than 4 hours"),
        (("listening", "--hours", 0.1), "ended: by Ctrl-C"),
        (("folder", "--files", 40), "40 rows"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_work_measures_and_loses_nothing(arguments, told):
    done = python(STRESS, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout


def test_a_work_ends_in_time():
    done = python(STRESS, "listening", "--hours", 24, "--minutes", 0.05)
    assert (done.returncode, done.stdout) == (1, "lost: not finished within 0.05 minutes\n")


def test_whatever_a_killed_run_has_lost_or_left_is_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(STRESS)
    import kills

    texts = {"run-20250101-000000/metrics.json": '{"eer": 0.5}', "features/features.sqlite": "x"}
    other = {"run-20250102-000003-1/metrics.json": '{"eer": 0.5}', "features/features.sqlite": "yy"}
    twice = {"run-20250103-000000/metrics.json": "{}", "run-20250103-000000/log.csv": "1\n", "run-x/a.tmp-1": ""}
    for name, written in (("one", texts), ("other", other), ("twice", other | twice)):
        for path, text in written.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text, encoding="utf-8")
    assert kills.differences(tmp_path / "one", tmp_path / "other") == []
    found = kills.differences(tmp_path / "one", tmp_path / "twice")
    assert sorted(found) == [f"left over: {name}" for name in ("TIME/log.csv", "TIME/metrics.json", "run-x/a.tmp-1")]
    (tmp_path / "other" / "run-20250102-000003-1" / "metrics.json").write_text("{}", encoding="utf-8")
    assert kills.differences(tmp_path / "one", tmp_path / "other") == ["another content: TIME/metrics.json"]


def test_a_child_ends_before_the_file_operation_that_was_chosen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(STRESS)
    from common import Life
    from kills import Operations

    def work(last):
        Operations.watch(tmp_path, last)
        (tmp_path / "a").write_text("1")
        (tmp_path / "a").replace(tmp_path / "b")
        (tmp_path / "b").read_text()
        (tmp_path / "b").unlink()
        return 0

    assert Life(lambda: work(0)).end() == 0 and Operations.count() == 3
    assert Life(lambda: work(3)).end() < 0
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
