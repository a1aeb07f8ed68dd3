"""Metrics as people read them: a console table, a JSON file, and the model card of a run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..corpus.shortcuts import SUSPICIOUS_AUC
from ..files import atomic_path
from ..settings import CLASS_NAMES, to_dict
from ..templates import render
from ..text import clean
from .metrics import GROUPS, SMALLEST_GROUP
from .scores import ANSWERS

if TYPE_CHECKING:
    from ..corpus.split import Splits
    from ..model.checkpoint import Checkpoint
    from ..training.learn import Learned

_RATE, _NUMBER, _SECONDS = "rate", "number", "seconds"

_WORST = 3
"""Groups of each kind that are named for what goes wrong in them."""

_ROWS = (
    ("accuracy", "Accuracy, three classes", _RATE),
    ("macro_f1", "Macro F1, three classes", _RATE),
    ("roc_auc", "ROC AUC, real against the rest", _NUMBER),
    ("eer", "EER, real against the rest", _RATE),
    ("eer_real_fake", "EER, real against wholly fake", _RATE),
    ("eer_even", "EER, real against the rest, even-handed", _RATE),
    ("eer_real_fake_even", "EER, real against wholly fake, even-handed", _RATE),
    ("eer_unseen_families", "EER, generators new to training, even-handed", _RATE),
    ("false_hybrid_rate", "Same-class splices called hybrid", _RATE),
    ("ece", "Calibration error (ECE)", _RATE),
    ("uncertain_share", "Answered with Uncertain", _RATE),
    ("no_speech_share", "Answered with No speech", _RATE),
    ("decided_accuracy", "Accuracy of the other answers", _RATE),
    ("confident_half_accuracy", "Accuracy on the most confident half", _RATE),
    ("accusation_rate", "Real clips answered Fake or Hybrid", _RATE),
    ("fake_vouched_rate", "Fake clips answered Real", _RATE),
    ("hybrid_vouched_rate", "Hybrid clips answered Real", _RATE),
    ("hybrid_doubted_rate", "Hybrid clips answered Fake or Hybrid", _RATE),
    ("hybrid_named_rate", "Hybrid clips answered Hybrid", _RATE),
    ("frame_eer_20ms", "Hybrids: frame EER, 20 ms", _RATE),
    ("frame_eer_160ms", "Hybrids: frame EER, 160 ms", _RATE),
    ("frame_f1", "Hybrids: F1 of fake frames", _RATE),
    ("boundary_error_mean_seconds", "Hybrids: boundary error, mean", _SECONDS),
    ("boundary_error_median_seconds", "Hybrids: boundary error, median", _SECONDS),
)


_MOST_PROBABLE = "By the most probable class, whatever was answered"
_ANSWERED = "By what the program answers"


@dataclasses.dataclass(frozen=True)
class Card:
    """Where a model comes from: what its card says besides settings and metrics.

    `data` are sentences that describe corpora and their licences, `sources` pages and corpora that the clips come from;
    `split` has the number of clips of each class in each set; `command` trains the same network again; nothing was
    trained in 0 minutes; `shortcuts` come from :func:`deepfake_audio.corpus.shortcuts.shortcuts`; `remarks` is Markdown
    that goes before the limits.
    """

    checkpoint: Checkpoint
    data: Sequence[str]
    split: dict[str, dict[str, int]]
    warnings: Sequence[str]
    command: str
    training_minutes: float = 0.0
    shortcuts: dict[str, float] = dataclasses.field(default_factory=dict)
    about_shortcuts: str = "fitted on the training set, tested on the test set"
    about_results: str = "On the test set, which had no part in training or in any choice."
    sources: Sequence[str] = ()
    remarks: str = ""

    @classmethod
    def of_training(cls, learned: Learned, splits: Splits, warnings: Sequence[str], **about) -> Card:
        """Return the card of what was just trained; `about` is what else it says."""
        counts = splits.counts(without=learned.store.failures)
        return cls(
            checkpoint=learned.checkpoint,
            split={split: counts[split] for split, clips in splits.sets.items() if clips},
            training_minutes=learned.minutes,
            warnings=[*learned.skipped, *warnings],
            **about,
        )


def format_table(metrics: dict) -> str:
    """Return metrics laid out for a console: lines of ASCII (old Windows consoles know no more), at most 79 wide."""
    head = ("Metric", "Value", "95 % interval", "Clips")
    rows = [(title, *_cells(metrics[name], unit)) for name, title, unit in _ROWS]
    classes = []
    for name in CLASS_NAMES:
        entry = metrics["per_class"][name]
        values = [_value(entry[part]["value"], _RATE) for part in ("precision", "recall", "f1")]
        classes.append((name, *values, str(entry["support"])))
    return "\n\n".join(
        (
            _columns(head, rows),
            f"{_MOST_PROBABLE}:",
            _columns(("Class", "Precision", "Recall", "F1", "Clips"), classes),
            _columns(("True \\ most probable", *CLASS_NAMES, "Clips"), _counts(metrics["confusion"])),
            f"{_ANSWERED}:",
            _columns(("True \\ answered", *ANSWERS, "Clips"), _counts(metrics["answers"])),
        )
    )


def write_metrics(path: str | os.PathLike, metrics: dict) -> None:
    """Write metrics as JSON (UTF-8)."""
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
    _write(path, text + "\n")


def write_model_card(path: str | os.PathLike, metrics: dict, card: Card, parameters: int) -> None:
    """Write a Markdown page that says what a trained model of so many weights is, is for, can do and cannot do."""
    text = render(
        Path(__file__).with_name("model_card.md"),
        card=card,
        metrics=metrics,
        parameters=f"{parameters:,}",
        command=_fenced(clean(card.command), "console"),
        settings=_fenced(json.dumps(to_dict(card.checkpoint.settings), indent=2, ensure_ascii=False), "json"),
        split=[
            (split, *(found.get(name, 0) for name in CLASS_NAMES), sum(found.values()))
            for split, found in card.split.items()
        ],
        shortcuts=[
            (name, f"{area:.2f}", "suspicious" if area > SUSPICIOUS_AUC else "")
            for name, area in card.shortcuts.items()
        ],
        results=[(title, *_cells(metrics[name], unit)) for name, title, unit in _ROWS],
        per_class=_per_class(metrics),
        classes=list(CLASS_NAMES),
        answers=list(ANSWERS),
        confusion=_counts(metrics["confusion"]),
        answer_counts=_counts(metrics["answers"]),
        most_probable=_MOST_PROBABLE,
        answered=_ANSWERED,
        groups=_groups(metrics),
        smallest_group=SMALLEST_GROUP,
        wrong_answers=_wrong_answers(metrics),
        remarks=Markup(card.remarks.strip()),
    )
    _write(path, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")


def _write(path: str | os.PathLike, text: str) -> None:
    with atomic_path(path) as temporary:
        # A name that is not valid Unicode (possible on Linux) must not cost the results of a run; JSON reads it back.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == _RATE:
        return f"{100 * value:.1f} %"
    return f"{value:.3f} s" if unit == _SECONDS else f"{value:.4f}"


def _cells(metric: dict, unit: str) -> tuple[str, str, str]:
    """Value, interval and number of clips of one metric."""
    interval = "-"
    if metric["low"] is not None:
        low, high = (_value(metric[end], unit) for end in ("low", "high"))
        interval = f"{low.removesuffix(' %').removesuffix(' s')} to {high}"
    return _value(metric["value"], unit), interval, str(metric["n"])


def _counts(table: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """Rows of a table of counts, with the true class before them and their sum behind."""
    return [(name, *map(str, counts), str(sum(counts))) for name, counts in zip(CLASS_NAMES, table, strict=True)]


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _fenced(text: str, language: str) -> Markup:
    # A fence must be longer than any row of backticks inside it.
    fence = "```"
    while fence in text:
        fence += "`"
    return Markup(f"{fence}{language}\n{text}\n{fence}")


def _per_class(metrics: dict) -> list[tuple]:
    rows = []
    for name in CLASS_NAMES:
        entry = metrics["per_class"][name]
        cells = [_cells(entry[part], _RATE) for part in ("precision", "recall", "f1")]
        shown = [value if interval == "-" else f"{value} ({interval})" for value, interval, _ in cells]
        rows.append((name, *shown, entry["support"]))
    return rows


def _groups(metrics: dict) -> list[dict]:
    tables, parts = [], ("accuracy", "misjudged", "eer")
    for field in GROUPS:
        rows = [
            (row["name"], row["label"], row["n"], *(_value(row[part], _RATE) for part in parts))
            for row in metrics[f"by_{field}"]
        ]
        if rows:
            tables.append({"title": field.replace("_", " ").capitalize(), "rows": rows})
    return tables


def _wrong_answers(metrics: dict) -> list[str]:
    """What users were told that was wrong: overall, and where it happened most often."""
    found = [
        sentence.format(_value(metrics[name]["value"], _RATE))
        for name, sentence in (
            ("accusation_rate", "{} of the Real clips were answered Fake or Hybrid: people wrongly doubted."),
            ("fake_vouched_rate", "{} of the Fake clips were answered Real: forgeries vouched for."),
            ("hybrid_vouched_rate", "{} of the Hybrid clips were answered Real: forgeries vouched for."),
        )
        if metrics[name]["value"]
    ]
    for field in ("family" if metrics["by_family"] else "generator", "language", "sample_rate", "original_format"):
        rows = [row for row in metrics[f"by_{field}"] if row["misjudged"]]
        for row in sorted(rows, key=lambda row: -row["misjudged"])[:_WORST]:
            said = "Fake or Hybrid" if row["label"] == "Real" else "Real"
            found.append(
                f"{field.replace('_', ' ').capitalize()} {row['name']}: {_value(row['misjudged'], _RATE)} of "
                f"{row['n']} {row['label']} clips were answered {said}."
            )
    return found
