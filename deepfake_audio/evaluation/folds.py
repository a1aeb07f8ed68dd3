"""What folds found, as a table and as the figures of a network that was trained on all of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..corpus.clips import Clip
from ..corpus.manifest import fingerprint
from ..corpus.split import Splits
from ..settings import Settings, to_dict
from ..text import counted
from ..training.runs import REPORT
from .card import Card, write_metrics, write_model_card
from .metrics import evaluate
from .scores import ANSWERS, ClipScore, read_scores, write_scores

COLUMNS = {
    "eer_real_fake": "EER Real/Fake",
    "eer_real_fake_even": "even-handed",
    "eer_unseen_families": "new generators",
    "eer": "EER Real/rest",
    "macro_f1": "macro F1",
    "false_hybrid_rate": "false Hybrid",
    "frame_eer_20ms": "frame EER 20 ms",
    "ece": "ECE",
}
SHIPPED_SCORES = "scores.csv.gz"


def folder_of_folds(outputs: Path, settings: Settings, splits: Sequence[Splits]) -> Path:
    """Return the folder in which the folds of a recipe on a corpus are kept: the same command goes on there."""
    recipe = json.dumps([to_dict(settings), *map(fingerprint, splits)])
    return outputs / f"folds-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def table_of_folds(folds: Sequence[Path]) -> str:
    """Return the metrics of finished folds and their means as a Markdown table."""
    found = [json.loads((folder / REPORT).read_text(encoding="utf-8")) for folder in folds]
    rows = [[metrics[name]["value"] for name in COLUMNS] for metrics in found]
    means = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    rows.append([float(np.mean(column)) if column else None for column in means])
    lines = [f"| fold | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in zip([*map(str, range(1, len(folds) + 1)), "mean"], rows, strict=True):
        lines.append(f"| {name} | " + " | ".join("-" if value is None else f"{value:.3f}" for value in row) + " |")
    return "\n".join(lines)


def about_folds(folds: int, scores: Sequence[ClipScore], clips: Sequence[Clip]) -> str:
    """Say for the model card whose figures its results are, and what was answered to hybrids by others."""
    own = {clip.name for clip in clips}
    others = [score for score in scores if score.kind == "hybrid" and score.path in own]
    spliced = sum(score.path not in own for score in scores)
    answers = Counter(score.verdict for score in others)
    sentence = (
        f"Of {folds} networks that were trained by the same recipe, each without the sources that it is tested on "
        "(source-grouped folds), and pooled; this network itself has seen most of them in training. "
        f"{len(scores) - spliced} of the test clips are the corpus's own, {spliced} were spliced from those."
    )
    if not others:
        return sentence
    told = ", ".join(f"{answers[answer]} {answer}" for answer in ANSWERS)
    return f"{sentence} To the {counted(len(others), 'hybrid')} by others the answers were {told}."


def ship(folder: Path, folds: Sequence[Path], card: Card, parameters: int) -> dict:
    """Write scores, metrics and model card of a network beside its checkpoint, and return the metrics.

    The figures are those of the folds: no clip is judged by a network that has seen its source.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    folds : sequence of Path
        Folders of finished folds.
    card : Card
        Where the network comes from.
    parameters : int
        Number of its weights.
    """
    scores = [score for fold in folds for score in read_scores(fold / "scores.csv")]
    metrics = evaluate(scores)
    # What is new to a network differs from fold to fold.
    unseen = [json.loads((fold / REPORT).read_text(encoding="utf-8"))["eer_unseen_families"] for fold in folds]
    values = [each["value"] for each in unseen if each["value"] is not None]
    if values:
        metrics["eer_unseen_families"] |= {"value": float(np.mean(values)), "n": sum(each["n"] for each in unseen)}
    write_scores(folder / SHIPPED_SCORES, scores, frames=False)
    (folder / "scores.csv").unlink(missing_ok=True)  # of an older one
    write_model_card(folder / "MODEL_CARD.md", metrics, card, parameters)
    write_metrics(folder / REPORT, metrics)
    return metrics
