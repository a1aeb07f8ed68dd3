"""Metrics as people read them: a console table, a JSON file, and the model card of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from ..corpus.shortcuts import SUSPICIOUS_AUC
from ..files import atomic_path
from ..settings import CLASS_NAMES
from ..text import clean
from .metrics import SMALLEST_GROUP
from .scores import ANSWERS

_RATE, _NUMBER, _SECONDS = "rate", "number", "seconds"

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


def format_table(metrics: dict) -> str:
    """Lay out metrics for a console.

    Parameters
    ----------
    metrics
        What :func:`deepfake_audio.evaluation.metrics.evaluate` returned.

    Returns
    -------
    str
        Lines of ASCII (old Windows consoles know no more), at most 79 wide, without a line feed at the end.
    """
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


def write_model_card(path: str | os.PathLike, metrics: dict, card: dict) -> None:
    """Write a Markdown page that says what a trained model is, is for, can do and cannot do.

    Parameters
    ----------
    path
        Usually ``MODEL_CARD.md`` in the folder of the run.
    metrics
        What :func:`deepfake_audio.evaluation.metrics.evaluate` returned for the test set.
    card
        ``name``, ``created`` (ISO date), ``version`` (of the package), ``seed``, ``settings`` (nested dict),
        ``parameters`` (number of weights), ``data`` (strings that describe corpora and their licences), ``split``
        (split to ``{"Real": n, "Fake": n, "Hybrid": n}``), ``training_minutes``, ``warnings`` (strings) and
        ``command`` (that repeats the run). Optional: ``shortcuts`` (property to AUC, from
        :func:`deepfake_audio.corpus.shortcuts.shortcuts`), ``about_shortcuts`` and ``about_results`` (where those and
        the figures come from, if not from the test set of the split) and ``remarks`` (Markdown that goes before the
        limits).
    """
    sections = (
        _introduction(card),
        _USE,
        _data(card),
        _training(card),
        _results(metrics, card.get("about_results", _TEST_SET)),
        _groups(metrics),
        _errors(metrics),
        card.get("remarks", ""),
        _limits(metrics, card),
    )
    _write(path, "\n\n".join(section.strip() for section in sections if section) + "\n")


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


def _plain(text: object) -> str:
    """Names and messages as one line of Markdown text that means itself: no table, tag, link, picture or entity."""
    return re.sub(r"[\\`*_\[\]<>!&|#~]", r"\\\g<0>", clean(" ".join(str(text).split())))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown table; cells are escaped."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bullets(items: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {item}" for item in items) if items else otherwise


def _fenced(text: str, language: str) -> str:
    # A fence must be longer than any row of backticks inside it.
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _introduction(card: dict) -> str:
    return f"""
# {_plain(card["name"])}

A small neural network (convolutions, a SimpleRNN, an LSTM, softmax; {card["parameters"]:,} weights) that listens to a
recording of speech and answers

- **Real**: a person spoke all of it,
- **Fake**: a machine made all of it,
- **Hybrid**: real speech into which synthetic spans were spliced,

with a confidence and a timeline of the segments that it takes for synthetic. It was trained on
{_plain(card["created"])} with version {_plain(card["version"])} of this project.
"""


_USE = """
## What it is for

Learning how such detectors work, comparing methods, and sorting recordings so that a person knows which to listen to
first. What a person decides after that must not rest on this answer alone.

## What it must not be used for

- **Not as evidence against anybody.** A wrong "Fake" accuses a person who spoke; a wrong "Real" vouches for a forgery.
  Do not use it in courts, in disciplinary or journalistic verdicts, or to remove people's recordings.
- **Not as a lock.** It was not built to withstand somebody who tries to fool it, and does not identify speakers.
- **Not on other material than it was tested on** without testing it there first: other languages, microphones, codecs,
  room sounds, singing, and speech generators newer than its training data.
"""


def _data(card: dict) -> str:
    rows = [
        (split, *(str(counts.get(name, 0)) for name in CLASS_NAMES), str(sum(counts.values())))
        for split, counts in card["split"].items()
    ]
    return f"""
## Data

{_bullets([_plain(item) for item in card["data"]], "Not described.")}

Clips in each set of the split:

{_table(("Side", *CLASS_NAMES, "All"), rows)}

Hybrids that came with the data are counted there, splices of this project are not: it makes hybrids, and splices
within one class, from the real and fake clips of the same set, and the results below count them.
{_shortcuts(card.get("shortcuts", {}), card.get("about_shortcuts", _BOTH_SETS))}"""


_BOTH_SETS = "fitted on the training set, tested on the test set"


def _shortcuts(areas: dict[str, float], about: str) -> str:
    if not areas:
        return ""
    rows = [(name, f"{area:.2f}", "suspicious" if area > SUSPICIOUS_AUC else "") for name, area in areas.items()]
    return f"""
How well each property alone, without any speech, tells Real from Fake: AUC of a small decision tree, {about};
0.50 is chance.

{_table(("Property", "AUC", ""), rows)}
"""


def _training(card: dict) -> str:
    minutes = f", {card['training_minutes']:.1f} minutes" if card["training_minutes"] else ""
    return f"""
## Training

Seed {card["seed"]}{minutes}. The same run again:

{_fenced(clean(card["command"]), "console")}

<details>
<summary>All settings</summary>

{_fenced(json.dumps(card["settings"], indent=2, ensure_ascii=False), "json")}

</details>
"""


_TEST_SET = "On the test set, which had no part in training or in any choice."


def _results(metrics: dict, about: str) -> str:
    rows = [(title, *_cells(metrics[name], unit)) for name, title, unit in _ROWS]
    classes = []
    for name in CLASS_NAMES:
        entry = metrics["per_class"][name]
        cells = [_cells(entry[part], _RATE) for part in ("precision", "recall", "f1")]
        shown = [value if interval == "-" else f"{value} ({interval})" for value, interval, _ in cells]
        classes.append((name, *shown, entry["support"]))
    clips, controls = metrics["clips"], metrics["false_hybrid_rate"]["n"]
    return f"""
## Results

{about} Of the {sum(clips.values())} clips {clips["Hybrid"]} are hybrids and {controls} are splices within one class.
Where a row does not say "answered", a clip counts as its most probable class, so that Uncertain answers hide no errors
(No speech, with all classes equally probable, counts as Real). Intervals hold the middle 95 % of
{metrics["resamples"]} bootstrap samples of clips; clips that share a speaker or a generator are not independent, so the
true uncertainty is larger. EER is the rate at which as many real clips are called not real as the other way round: 0 %
is perfect, 50 % is a coin. A dash means that it cannot be computed from these clips.

{_table(("Metric", "Value", "95 % interval", "Clips"), rows)}

{_MOST_PROBABLE}:

{_table(("Class", "Precision", "Recall", "F1", "Clips"), classes)}

{_table(("True class, most probable", *CLASS_NAMES, "All"), _counts(metrics["confusion"]))}

{_ANSWERED}:

{_table(("True class, answered", *ANSWERS, "All"), _counts(metrics["answers"]))}
"""


def _groups(metrics: dict) -> str:
    parts = ["## Per generator, source and language"]
    for key, title in (("by_generator", "Generator"), ("by_source", "Source"), ("by_language", "Language")):
        eer = key == "by_generator"
        rows = [
            (row["name"], row["label"], row["n"], _value(row["accuracy"], _RATE))
            + ((_value(row["eer"], _RATE),) if eer else ())
            for row in metrics[key]
        ]
        if rows:
            head = (title, "Class", "Clips", "Accuracy", *(["EER against all real clips"] if eer else []))
            parts.append(_table(head, rows))
    if len(parts) == 1:
        return f"{parts[0]}\n\nNo group has {SMALLEST_GROUP} test clips or more."
    parts.append(f"Groups of fewer than {SMALLEST_GROUP} clips are left out; small groups say little.")
    return "\n\n".join(parts)


def _errors(metrics: dict) -> str:
    answered = [
        sentence.format(_value(metrics[name]["value"], _RATE))
        for name, sentence in (
            ("accusation_rate", "{} of the Real clips were answered Fake or Hybrid: people wrongly doubted."),
            ("fake_vouched_rate", "{} of the Fake clips were answered Real: forgeries vouched for."),
            ("hybrid_vouched_rate", "{} of the Hybrid clips were answered Real: forgeries vouched for."),
        )
        if metrics[name]["value"]
    ]
    found = []
    mistakes = [
        (count, true, decided, sum(counts))
        for true, counts in zip(CLASS_NAMES, metrics["confusion"], strict=True)
        for decided, count in zip(CLASS_NAMES, counts, strict=True)
        if true != decided and count
    ]
    for count, true, decided, total in sorted(mistakes, key=lambda mistake: -mistake[0] / mistake[3]):
        found.append(f"{count} of {total} {true} clips ({_value(count / total, _RATE)}) came out as {decided}.")
    control = metrics["false_hybrid_rate"]
    if control["value"] is not None:
        found.append(
            f"Of clips in which speech was spliced into speech of the same class, {_value(control['value'], _RATE)} "
            "came out as Hybrid: there it heard the cut, not the generator."
        )
    hardest = sorted(metrics["by_generator"], key=lambda row: row["accuracy"])[:3]
    for row in hardest:
        if row["accuracy"] < 1:
            wrong = _value(1 - row["accuracy"], _RATE)
            found.append(f"{row['label']} clips of {_plain(row['name'])}: {wrong} came out wrong (n = {row['n']}).")
    boundary = metrics["boundary_error_median_seconds"]["value"]
    if boundary is not None:
        found.append(f"Half of the boundaries inside hybrids are shown more than {boundary:.2f} s off.")
    return "\n\n".join(
        (
            "## What it gets wrong",
            f"{_ANSWERED}:",
            _bullets(answered, "No Real clip was answered Fake or Hybrid, and no other one Real."),
            f"{_MOST_PROBABLE}:",
            _bullets(found, "The test clips show no error, which says more about them than about the model."),
        )
    )


def _limits(metrics: dict, card: dict) -> str:
    clips = sum(metrics["clips"].values())
    warnings = _bullets([_plain(item) for item in card["warnings"]], "None.")
    return f"""
## Limits

- The figures above are for these {clips} test clips. Published detectors of this size come close to chance on
  recordings from elsewhere; where yours differ from the test clips, expect worse than the tables.
- Generators that came out after its data did may pass as Real.
- Compression, telephone lines, noise, echo and replay through loudspeakers remove the traces that it listens for.
- Speech that was cleaned, denoised or heavily edited may sound synthetic to it although a person spoke.
- Confidence is calibrated on clips like the training data; on others "95 %" is not a probability.
- Hybrids that this project's own program spliced differ from forgeries made by hand or by speech editing models.
- It takes every sound for speech: what it answers to music, tones and noise means nothing.

Warnings of the training run:

{warnings}
"""
