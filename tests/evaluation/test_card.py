"""Tables and the model card say what the metrics say, in characters that every reader can show."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from commands import HERE
from test_metrics import clip, pool

from deepfake_audio.evaluation import card as report
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.evaluation.scores import read_scores
from deepfake_audio.model.checkpoint import Checkpoint
from deepfake_audio.settings import Settings
from deepfake_audio.text import clean, clean_lines

CHECKPOINT = Checkpoint(Path("tiny/model.keras"), Settings(), "2026-01-31T12:00:00", "1.0.0", 7, "", {})
CARD = report.Card(
    checkpoint=CHECKPOINT,
    data=["LibriSpeech, CC BY 4.0", "flite | espeak <b>"],
    split={"train": {"Real": 3, "Fake": 4, "Hybrid": 5}, "test": {"Real": 1, "Fake": 0}},
    training_minutes=12.345,
    warnings=["only two speakers\nin test"],
    command="python CNNRNNLSTM.py --seed 7",
)


def written(folder, metrics, **changes):
    """Write a card and return its text."""
    report.write_model_card(folder / "card.md", metrics, dataclasses.replace(CARD, **changes), 123456)
    return (folder / "card.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def metrics():
    return evaluate(pool(), resamples=50)


@pytest.fixture(params=["real", "fake", "hybrid"])
def poor_metrics(request):
    """One clip of one class, so that most metrics cannot be computed."""
    return evaluate([clip(request.param)], resamples=0)


def rows(text):
    """Cells of the lines of a Markdown table, by the first one."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_table(metrics):
    table = report.format_table(metrics)
    table.encode("ascii")
    assert max(map(len, table.splitlines())) <= 79
    accuracy = next(line for line in table.splitlines() if line.startswith("Accuracy, three"))
    low, high = (f"{100 * metrics['accuracy'][edge]:.1f}" for edge in ("low", "high"))
    assert f"{100 * metrics['accuracy']['value']:.1f} %" in accuracy
    assert f"{low} to {high} %" in accuracy
    assert accuracy.endswith(" 60")
    lines = [line.split() for line in table.splitlines()]
    hybrid = [line for line in lines if line[:1] == ["Hybrid"] and line[-1] == "12" and line[1] != "clips"]
    assert len(hybrid) == 3
    assert hybrid[1] == ["Hybrid", *map(str, metrics["confusion"][2]), "12"]
    assert hybrid[2] == ["Hybrid", *map(str, metrics["answers"][2]), "12"]
    assert re.search(r"boundary error, median +0\.\d{3} s", table)


def test_table_names_every_metric(metrics):
    shown = {name for name, _, _ in report._ROWS}
    assert shown == {name for name, entry in metrics.items() if isinstance(entry, dict) and "value" in entry}


def test_table_without_values(poor_metrics):
    table = report.format_table(poor_metrics)
    assert "None" not in table and "nan" not in table
    assert re.search(r"EER, real against the rest +- +- +1$", table, re.MULTILINE)


def test_metrics_file(tmp_path, metrics):
    report.write_metrics(tmp_path / "run" / "metrics.json", metrics)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8")) == metrics
    with pytest.raises(ValueError, match="JSON"):
        report.write_metrics(tmp_path / "run" / "metrics.json", {"accuracy": float("nan")})
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8")) == metrics


def test_model_card(tmp_path, metrics):
    text = written(tmp_path, metrics)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [
        "# tiny/model.keras",
        "## What it is for",
        "## What it must not be used for",
        "## Data",
        "## Training",
        "## Results",
        "## Per generator, source, language and channel",
        "## What it gets wrong",
        "## Limits",
    ]
    assert "evidence" in text and "accuses" in text
    assert "123,456 weights" in text and "2026-01-31" in text and "12.3 minutes" in text
    assert CARD.command in text and '"frames": 300' in text
    assert r"flite \| espeak \<b\>" in text
    assert "- only two speakers in test" in text
    table = rows(text)
    assert table["train"] == ["3", "4", "5", "12"]
    assert table["test"] == ["1", "0", "0", "1"]
    entry = metrics["eer"]
    assert table["EER, real against the rest"] == [
        f"{100 * entry['value']:.1f} %",
        f"{100 * entry['low']:.1f} to {100 * entry['high']:.1f} %",
        "60",
    ]
    row = metrics["by_generator"][0]
    assert table[row["name"]][-1].endswith(" %")
    assert table["Hybrid"] == [*map(str, metrics["answers"][2]), "12"], "the last table with that row"
    assert "Of the 60 clips 12 are hybrids and 24 are splices within one class" in text
    assert "\n\n\n" not in text


def test_an_answer_that_was_withheld_is_not_told_as_wrong(tmp_path):
    unsure = {"probabilities": (0.2, 0.7, 0.1), "verdict": "Uncertain"}
    scores = [*[clip()] * 3, clip(**unsure), clip("fake"), clip("fake", verdict="Real"), clip("hybrid")]
    text = written(tmp_path, evaluate(scores, resamples=0)).split("## What it gets wrong")[1]
    assert "of the Real clips were answered" not in text
    assert "50.0 % of the Fake clips were answered Real" in text


def test_names_break_no_table(tmp_path):
    scores = [clip()] * 5 + [clip("fake", generator="a|b\nc\\")] * 5
    text = written(tmp_path, evaluate(scores, resamples=0))
    assert rows(text)[r"a\|b c\\"] == ["Fake", "5", "100.0 %", "0.0 %", "0.0 %"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("![x](https://evil.example/p.png)", r"\!\[x\](https://evil.example/p.png)"),
        ("[click](javascript:alert(1))", r"\[click\](javascript:alert(1))"),
        ("*a* _b_ ~~c~~ # d", r"\*a\* \_b\_ \~\~c\~\~ \# d"),
        ("&lt;b&gt; > <i> `c`", r"\&lt;b\&gt; \> \<i\> \`c\`"),
        ("\x1b[2J\u202e", r"\\x1b\[2J\\u202e"),
        ("\udcff", r"\\udcff"),
    ],
)
def test_names_mean_themselves(tmp_path, name, shown):
    scores = [clip()] * 5 + [clip("fake", generator=name)] * 5
    text = written(tmp_path, evaluate(scores, resamples=0), data=[name], warnings=[name], command=f"python {name}")
    assert shown in rows(text) and text.count(f"- {shown}\n") == 2
    assert clean_lines(text) == text and f"python {clean(name)}\n" in text


def test_a_name_that_is_no_text_costs_no_metrics(tmp_path):
    report.write_metrics(tmp_path / "metrics.json", {"name": "\udcff"})
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == {"name": "\udcff"}


def test_model_card_without_values(tmp_path, poor_metrics):
    text = written(tmp_path, poor_metrics, data=[], warnings=[], split={}, command="a ``` b")
    assert "None." in text and " nan" not in text
    assert "````console\na ``` b\n````" in text
    assert "No group has 5 test clips or more." in text


def test_a_card_says_where_figures_come_from_that_are_not_of_a_test_set(tmp_path, metrics):
    about = {"about_results": "Of 5 folds.", "about_shortcuts": "mean of 5 folds", "shortcuts": {"length": 0.7}}
    text = " ".join(written(tmp_path, metrics, **about, training_minutes=0.0).split())
    assert "Of 5 folds." in text and "decision tree, mean of 5 folds;" in text and "test set" not in text
    assert "Seed 7. The same run" in text


def test_a_card_names_the_pages_that_clips_come_from(tmp_path, metrics):
    text = written(tmp_path, metrics, sources=["VCTK", "https://example.org/a_b"])
    assert "- VCTK\n- https://example.org/a\\_b\n" in text


def test_what_goes_wrong_is_told_by_family_language_and_channel(tmp_path):
    wrong = {"language": "de", "sample_rate": "8000", "original_format": "amr"}
    scores = [clip(**wrong, verdict="Fake")] * 2 + [clip(**wrong)] * 6 + [clip()] * 8
    scores += [clip("fake", family="xtts", verdict="Real")] * 3 + [clip("fake", family="xtts")] * 2
    text = written(tmp_path, evaluate(scores, resamples=0)).split("## What it gets wrong")[1]
    for sentence in (
        "Language de: 25.0 % of 8 Real clips were answered Fake or Hybrid.",
        "Sample rate 8000: 25.0 % of 8 Real clips were answered Fake or Hybrid.",
        "Original format amr: 25.0 % of 8 Real clips were answered Fake or Hybrid.",
        "Family xtts: 60.0 % of 5 Fake clips were answered Real.",
    ):
        assert f"- {sentence}\n" in text


def test_what_comes_with_the_project_is_what_its_scores_say():
    folder = HERE / "outputs" / "pretrained"
    found = evaluate(read_scores(folder / "scores.csv.gz"), resamples=0)
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    card = rows((folder / "MODEL_CARD.md").read_text(encoding="utf-8"))
    # Neither the probabilities of frames nor the families that training had stand in the scores.
    elsewhere = {"frame_eer_20ms", "frame_eer_160ms", "eer_unseen_families"}
    assert {name for name, *_ in report._ROWS} <= stored.keys()
    for name, title, unit in report._ROWS:
        if name not in elsewhere:
            assert stored[name]["value"] == pytest.approx(found[name]["value"]), name
        assert card[title] == list(report._cells(stored[name], unit))
    assert stored["answers"] == found["answers"] and stored["confusion"] == found["confusion"]
    assert card["Real"] == [*map(str, found["answers"][0]), str(found["clips"]["Real"])], "the last table with that row"
