"""How does a recipe do on unseen sources? Source-grouped k-fold evaluation of a corpus folder.

    python tests/benchmarks/unseen.py --data FOLDER [--folds 0 1 2 3 4] [--seed 0] [KEY=VALUE ...]

Folds are by ``source``. What shares a speaker or a generator with the test set is left out of training and
validation as far as ``--most-left-out`` allows. ``KEY=VALUE`` changes a setting, for instance
``training.epochs=20`` or ``hybrid.pseudo_fakes=false``, so that one lever can be compared at a time. Every fold has
a folder of its own below ``--outputs``: an interrupted evaluation goes on where it stopped, and a finished fold is
only read again.

``--ship FOLDER`` then trains the same recipe on everything and writes the checkpoint with the scores of the folds:

    python tests/benchmarks/vocoder_copies.py --data FOLDER --out COPIES --hifigan hifigan.onnx
    python tests/benchmarks/unseen.py --data FOLDER --copies COPIES --ship outputs/pretrained
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from deepfake_audio import console  # noqa: E402
from deepfake_audio.corpus.clips import Clip  # noqa: E402
from deepfake_audio.corpus.recognise import find_clips  # noqa: E402
from deepfake_audio.corpus.split import Splits, with_copies  # noqa: E402
from deepfake_audio.evaluation.scores import ANSWERS, ClipScore  # noqa: E402
from deepfake_audio.files import atomic_path  # noqa: E402
from deepfake_audio.settings import Settings, from_dict, to_dict  # noqa: E402

FOLDS = 5
COLUMNS = {
    "eer_real_fake": "EER Real/Fake",
    "eer": "EER Real/rest",
    "macro_f1": "macro F1",
    "hybrids_found": "others' hybrids found",
    "false_hybrid_rate": "false Hybrid on controls",
    "frame_eer_20ms": "frame EER 20 ms",
    "boundary_error_mean_seconds": "boundary error (s)",
    "ece": "ECE",
}


def unseen_split(clips: Sequence[Clip], fold: int, most_left_out: float) -> Splits:
    """Make the split of one fold: its sources are the test, the next fold's the validation set.

    Parameters
    ----------
    clips : sequence of Clip
        The corpus; every clip names its source.
    fold : int
        0 to ``FOLDS - 1``.
    most_left_out : float
        Largest share of a class in the training set that one shared speaker or generator may cost. A label that
        is everywhere, such as a famous reading voice, would otherwise leave no training set.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    copies = [clip for clip in clips if clip.copy_of]
    clips = [clip for clip in clips if not clip.copy_of]
    labels = [clip.label for clip in clips]
    groups = [clip.source for clip in clips]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    members = [set(test) for _, test in folds.split(labels, labels, groups)]
    test, validation = members[fold], members[(fold + 1) % FOLDS]
    sets = {"train": [], "validation": [], "test": [clips[i] for i in sorted(test)]}
    left_out = []
    rest = [clip for index, clip in enumerate(clips) if index not in test]
    taken = {key: {getattr(c, key) for c in sets["test"]} - {""} for key in ("speaker", "generator_family")}
    everywhere = set()
    for key, values in taken.items():
        for value in values:
            for label in ("Real", "Fake"):
                of_label = [c for c in rest if c.label == label]
                if sum(getattr(c, key) == value for c in of_label) > most_left_out * len(of_label):
                    everywhere.add((key, value))
    for index, clip in enumerate(clips):
        if index in test:
            continue
        ties = [(key, getattr(clip, key)) for key in taken if getattr(clip, key) in taken[key]]
        ties = [tie for tie in ties if tie not in everywhere]
        if ties:
            left_out.append((clip, f"{ties[0][0]} {ties[0][1]} stands in test"))
        else:
            sets["validation" if index in validation else "train"].append(clip)
    warnings = [f"{key} {value} stands in both sets" for key, value in sorted(everywhere)]
    splits = Splits(sets, {clip.name: f"source:{clip.source}" for clip in clips}, left_out, warnings)
    return with_copies(splits, copies)


def changed(settings: Settings, changes: Sequence[str]) -> Settings:
    """Apply ``group.name=value`` to settings, values as JSON."""
    values = to_dict(settings)
    for change in changes:
        name, _, value = change.partition("=")
        group, _, field = name.partition(".")
        if field not in values.get(group, {}):
            raise SystemExit(f"there is no setting {name!r}")
        values[group][field] = json.loads(value)
    return from_dict(Settings, values)


def run_fold(clips, fold: int, settings: Settings, folder: Path, most_left_out: float) -> dict:
    """Train and test one fold, or read what was found before."""
    from deepfake_audio.evaluation.metrics import evaluate
    from deepfake_audio.evaluation.scores import read_scores, score_examples, write_scores

    if not (folder / "scores.csv").is_file():
        from deepfake_audio.examples.example import split_examples
        from deepfake_audio.examples.features import extract_features
        from deepfake_audio.training.calibrate import fit_decision, scan_examples

        splits = unseen_split(clips, fold, most_left_out)
        console.say(f"fold {fold}: {splits.counts()}, {len(splits.left_out)} left out, {splits.warnings}")
        # Splices and features do not depend on the recipe's training settings: folds of several recipes share them.
        shared = folder.parents[1] / f"features-{fold}-{_digest(settings, clips)}"
        examples = {
            split: split_examples(split, splits, settings, shared, 2, console.progress(split)) for split in splits.sets
        }
        everything = [example for members in examples.values() for example in members]
        store = extract_features(everything, shared, settings.features, 2, console.progress("features"))
        from deepfake_audio.training.fit import fit, rolled_up

        fitted = fit(examples["train"], examples["validation"], store, settings, folder, verbose=2)
        predict = rolled_up(fitted.best, settings).predict_on_batch
        validation = list(scan_examples(examples["validation"], store, settings, predict))
        settings = dataclasses.replace(settings, decision=fit_decision(validation, settings))
        scans = list(scan_examples(examples["test"], store, settings, predict))
        write_scores(folder / "scores.csv", score_examples(scans, settings))
        (folder / "settings.json").write_text(json.dumps(to_dict(settings), indent=1), encoding="utf-8")
    scores = read_scores(folder / "scores.csv")
    metrics = evaluate(scores)
    found = [int(np.argmax(score.probabilities)) > 0 for score in by_others(scores)]
    metrics["hybrids_found"] = {"value": float(np.mean(found)) if found else None, "n": len(found)}
    return metrics


def by_others(scores: Sequence[ClipScore]) -> list[ClipScore]:
    """Return the hybrids that came with the corpus, by their names."""
    return [score for score in scores if score.kind == "hybrid" and not Path(score.path).name.startswith("hybrid-")]


def about_folds(folds: int, scores: Sequence[ClipScore]) -> str:
    """Say for the model card whose figures its results are, and what was answered to hybrids by others."""
    spliced = sum("+" in score.kind or score.kind == "hybrid" for score in scores) - len(by_others(scores))
    answers = Counter(score.verdict for score in by_others(scores))
    return (
        f"Of {folds} networks that were trained by the same recipe, each without the sources that it is tested on "
        "(source-grouped folds), and pooled; this network itself has seen all of them in training. "
        f"{len(scores) - spliced} of the test clips are the corpus's own, {spliced} were spliced from those. To the "
        f"{answers.total()} hybrids by others the answers were "
        f"{', '.join(f'{answers[answer]} {answer}' for answer in ANSWERS)}."
    )


def _digest(settings: Settings, clips: Sequence[Clip]) -> str:
    import hashlib

    parts = [to_dict(settings.features), to_dict(settings.hybrid), settings.augment.channel_copies]
    parts += [settings.training.seed, *sorted(clip.name for clip in clips if clip.copy_of)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--copies", type=Path, help="folder of copies of its real clips, from vocoder_copies.py")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="default", help="name of the recipe, for its folder")
    parser.add_argument("--outputs", type=Path, default=HERE / "outputs" / "unseen")
    parser.add_argument("--most-left-out", type=float, default=0.1)
    parser.add_argument(
        "--ship", type=Path, metavar="FOLDER", help="also train on everything; write a checkpoint there"
    )
    parser.add_argument("--remarks", type=Path, metavar="FILE", help="Markdown for the model card of --ship")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = changed(Settings(), [f"training.seed={arguments.seed}", *arguments.changes])
    clips = find_clips([arguments.data, *([arguments.copies] if arguments.copies else [])])
    print("| fold | " + " | ".join(COLUMNS.values()) + " | minutes |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    rows = []
    for fold in arguments.folds:
        started = time.monotonic()
        folder = arguments.outputs / arguments.name / f"fold-{fold}-seed-{arguments.seed}"
        metrics = run_fold(clips, fold, settings, folder, arguments.most_left_out)
        row = [metrics[name]["value"] for name in COLUMNS]
        minutes = (time.monotonic() - started) / 60
        cells = ["-" if value is None else f"{value:.3f}" for value in row]
        print(f"| {fold} | " + " | ".join(cells) + f" | {minutes:.1f} |", flush=True)
        rows.append(row)
    means = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    print("| mean | " + " | ".join(f"{np.mean(column):.3f}" if column else "-" for column in means) + " | |")
    if arguments.ship:
        folders = [arguments.outputs / arguments.name / f"fold-{f}-seed-{arguments.seed}" for f in arguments.folds]
        ship(clips, folders, settings, arguments)
    return 0


def ship(clips: Sequence[Clip], folds: Sequence[Path], settings: Settings, arguments: argparse.Namespace) -> None:
    """Train on all sources, but for those that calibrate, and write the bundled model.

    The figures are those of the folds: no clip is judged by a network that has seen its source.
    """
    from deepfake_audio.corpus.manifest import describe_data, fingerprint
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.evaluation.card import write_metrics, write_model_card
    from deepfake_audio.evaluation.metrics import evaluate
    from deepfake_audio.evaluation.scores import read_scores, write_scores
    from deepfake_audio.examples.example import split_examples
    from deepfake_audio.examples.features import extract_features
    from deepfake_audio.training.fit import finish, fit

    started = time.monotonic()
    # Fold 0 calibrates; nothing is tested, so nothing is left out on account of what it shares with a test.
    copies = [clip for clip in clips if clip.copy_of]
    splits = unseen_split([clip for clip in clips if not clip.copy_of], FOLDS - 1, -1.0)
    sets = {
        "train": splits.sets["train"] + splits.sets["test"],
        "validation": splits.sets["validation"],
        "test": [],
    }
    splits = with_copies(Splits(sets, splits.groups, [], []), copies)
    by_fold = [shortcuts(unseen_split(clips, fold, arguments.most_left_out), jobs=2) for fold in arguments.folds]
    areas = {name: float(np.mean([found[name] for found in by_fold])) for name in by_fold[0]}
    work = arguments.outputs / arguments.name / "everything"
    examples = {
        split: split_examples(split, splits, settings, work, 2, console.progress(split))
        for split in ("train", "validation")
    }
    everything = [example for members in examples.values() for example in members]
    store = extract_features(everything, work, settings.features, 2, console.progress("features"))
    fitted = fit(examples["train"], examples["validation"], store, settings, work, verbose=2)
    checkpoint = finish(fitted, examples, store, settings, arguments.ship / "model.keras", fingerprint(splits))
    scores = [score for folder in folds for score in read_scores(folder / "scores.csv")]
    write_scores(arguments.ship / "scores.csv", scores)
    metrics = evaluate(read_scores(arguments.ship / "scores.csv"))
    words = ["python", "tests/benchmarks/unseen.py", "--data", "FOLDER", "--copies", "COPIES"]
    words += ["--seed", str(arguments.seed), "--ship", "outputs/pretrained", *arguments.changes]
    card = {
        "name": f"{arguments.ship.name}/model.keras",
        "created": checkpoint.trained[:10],
        "version": checkpoint.version,
        "seed": checkpoint.seed,
        "settings": to_dict(checkpoint.settings),
        "parameters": fitted.parameters,
        "data": describe_data(clips),
        "split": {split: counts for split, counts in splits.counts().items() if split != "test"},
        "training_minutes": (time.monotonic() - started) / 60,
        "warnings": suspicions(areas),
        "command": console.command_line(words),
        "shortcuts": areas,
        "about_shortcuts": "fitted and tested within each fold, the mean of them",
        "about_results": about_folds(len(folds), scores),
        "remarks": arguments.remarks.read_text(encoding="utf-8") if arguments.remarks else "",
    }
    write_model_card(arguments.ship / "MODEL_CARD.md", metrics, card)
    write_metrics(arguments.ship / "metrics.json", metrics)
    with atomic_path(arguments.ship / "settings.json") as temporary:
        temporary.write_text(json.dumps(to_dict(checkpoint.settings), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
