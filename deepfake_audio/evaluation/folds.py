"""Folds: every source judged by a network that has not seen it, and one network for all with the figures of those."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import console
from ..corpus.clips import Clip, Corpus
from ..corpus.manifest import describe, describe_data, fingerprint, report_skipped
from ..corpus.shortcuts import shortcuts, suspicions
from ..corpus.split import Splits
from ..examples.example import examples_of_clips
from ..examples.features import extract_features
from ..model.checkpoint import MODEL
from ..settings import Settings, to_dict
from ..text import counted
from ..training.folds import everything_split, fold_splits, near_duplicates
from ..training.learn import Learned, learn
from ..training.runs import REPORT, Run
from ..work import cluster
from .card import Card, write_metrics, write_model_card
from .examine import examine
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


class Folds:
    """A recipe on a corpus, trained and tested fold by fold; the same one goes on where it was interrupted.

    Recordings that stand under several sources are found by their features. All is kept in the folder `home`, each fold
    in one of `folders`. CorpusError if the corpus cannot be split like that.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: Settings,
        count: int,
        outputs: Path,
        cache: Path,
        jobs: int,
        dask: str | None,
        command: str,
    ):
        self.corpus, self.settings, self.command, self._where = corpus, settings, command, (cache, jobs, dask)
        clips = corpus.clips
        bar = console.progress("Mel-spectrograms")
        with cluster(dask):
            examples = examples_of_clips(clips, {clip.name: "" for clip in clips})
            store = extract_features(examples, cache, settings.features, jobs, bar)
        self._near = near_duplicates(clips, store)
        self.splits = fold_splits(clips, count, self._near, settings.training.seed)
        recipe = json.dumps([to_dict(settings), *map(fingerprint, self.splits)])
        self.home = outputs / f"folds-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
        self.home.mkdir(parents=True, exist_ok=True)
        self.folders = [self.home / f"fold-{number}" for number in range(1, count + 1)]
        report_skipped(clips, store.failures, self.home, corpus.left_out)

    def train(self, number: int) -> None:
        """Train and test one fold, counted from 0, unless that is done."""
        folder, fold = self.folders[number], self.splits[number]
        if (folder / REPORT).is_file():
            return
        console.say(f"\nFold {number + 1} of {len(self.splits)}\n{describe(fold)}")
        run = Run.at(folder, self.settings)
        learned = learn(run, fold, *self._where)
        families = {clip.generator_family for clip in fold.sets["train"] if clip.label == "Fake"}
        test = learned.examples["test"]
        examine(folder, test, learned.store, self._card(learned, fold), learned.log, trained_families=families)
        run.tidy()

    def _card(self, learned: Learned, splits: Splits, warnings: Sequence[str] = (), **about) -> Card:
        warnings, data = [*warnings, *self.corpus.remarks], describe_data(self.corpus.clips)
        return Card.of_training(learned, splits, warnings, data=data, command=self.command, **about)

    def _reports(self) -> list[dict]:
        return [json.loads((folder / REPORT).read_text(encoding="utf-8")) for folder in self.folders]

    def table(self) -> str:
        """Return the metrics of all folds and their means as a Markdown table."""
        found = self._reports()
        rows = [[metrics[name]["value"] for name in COLUMNS] for metrics in found]
        means = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
        rows.append([float(np.mean(column)) if column else None for column in means])
        lines = [f"| fold | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
        for name, row in zip([*map(str, range(1, len(found) + 1)), "mean"], rows, strict=True):
            lines.append(f"| {name} | " + " | ".join("-" if value is None else f"{value:.3f}" for value in row) + " |")
        return "\n".join(lines)

    def ship(self, folder: Path, remarks: Path | None = None) -> None:
        """Train a network on all sources but a tenth, which calibrates it; write its figures beside it.

        The figures are those of the folds: no clip is judged by a network that has seen its source.
        """
        clips = self.corpus.clips
        splits = everything_split(clips, self._near, self.settings.training.seed)
        console.say(f"\nAll sources\n{describe(splits)}")
        run = Run.at(self.home / "everything", self.settings)
        learned = learn(run, splits, *self._where, path=folder / MODEL)
        found = [shortcuts(fold, jobs=self._where[1]) for fold in self.splits]
        areas = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
        scores = [score for fold in self.folders for score in read_scores(fold / "scores.csv")]
        metrics = evaluate(scores)
        # What is new to a network differs from fold to fold.
        unseen = [each["eer_unseen_families"] for each in self._reports()]
        if values := [each["value"] for each in unseen if each["value"] is not None]:
            total = sum(each["n"] for each in unseen)
            metrics["eer_unseen_families"] |= {"value": float(np.mean(values)), "n": total}
        card = self._card(
            learned,
            splits,
            suspicions(areas),
            sources=sorted({clip.source for clip in clips} - {""}),
            shortcuts=areas,
            about_shortcuts="fitted and tested within each fold, the mean of them",
            about_results=about_folds(len(self.folders), scores, clips),
            remarks=remarks.read_text(encoding="utf-8") if remarks else "",
        )
        write_scores(folder / SHIPPED_SCORES, scores, frames=False)
        (folder / "scores.csv").unlink(missing_ok=True)  # of an older one
        write_model_card(folder / "MODEL_CARD.md", metrics, card, learned.parameters)
        write_metrics(folder / REPORT, metrics)
        run.release()  # with its states: the same command again trains nothing


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
