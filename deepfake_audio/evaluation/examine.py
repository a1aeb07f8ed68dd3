"""The test, told in order: scan -> scores file -> metrics -> pictures -> model card -> console."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from .. import console
from ..corpus.clips import Clip
from ..corpus.manifest import describe_data, fingerprint, report_skipped
from ..corpus.split import Splits, split_corpus
from ..errors import CorpusError, RunError
from ..examples.example import Example, examples_of_clips, split_examples
from ..examples.features import FeatureStore, extract_features
from ..model.checkpoint import Checkpoint, read_checkpoint
from ..model.engines import KerasEngine
from ..places import TRAIN
from ..settings import CLASS_NAMES
from ..training.calibrate import scan_examples
from ..training.runs import REPORT, new_folder
from ..work import cluster
from .card import Card, format_table, write_metrics, write_model_card
from .choice import choose
from .metrics import evaluate
from .scores import ClipScore, read_scores, score_examples, write_scores


def only_unseen(splits: Splits, base: Checkpoint) -> Splits:
    """Leave out of validation and test what the training of another checkpoint has seen already.

    Raises
    ------
    CorpusError
        If no Real or no Fake clip is left in a set.
    """
    sets, left_out = dict(splits.sets), list(splits.left_out)
    for split in ("validation", "test"):
        sets[split] = base.unseen(splits.sets[split])
        kept = {clip.name for clip in sets[split]}
        reason = f"{base.path.name} was trained on it"
        left_out += [(clip, reason) for clip in splits.sets[split] if clip.name not in kept]
        for label in ("Real", "Fake"):
            if not any(clip.label == label for clip in sets[split]):
                raise CorpusError(
                    f"{base.path} was trained on every {label} clip of the {split} set; "
                    "give --data with recordings that it has not seen."
                )
    seen = len(left_out) - len(splits.left_out)
    if seen:
        splits.warnings.append(f"{seen} clips of validation and test are left out: {base.path} was trained on them.")
    return Splits(sets, splits.groups, left_out, splits.warnings)


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found, and what was written about it, the folder of all of it included."""

    folder: Path
    metrics: dict
    files: list[Path]

    def tell(self) -> None:
        """Print figures and files."""
        print(format_table(self.metrics))
        print()
        if choice := self.metrics.get("choice"):
            whose = "this model" if choice["own"] else "the bundled model"
            print(f"Unless --model names another, {whose} answers from now on: {choice['why']}.\n")
        for path in self.files:
            print(path)


def examine(
    folder: Path,
    examples: Sequence[Example],
    store: FeatureStore,
    card: Card,
    log: Path | None = None,
    trained_families: Collection[str] | None = None,
) -> Report:
    """Judge a test set once and write everything that is said about it into a folder, ``metrics.json`` last.

    Parameters
    ----------
    examples, store
        Clips that neither training nor validation has seen, and their spectrograms.
    card : Card
        The checkpoint, as ``script.py`` would load it, and where it comes from.
    log : Path, optional
        Training log, for the learning curves.
    trained_families : collection of str, optional
        Families of generators that training had, if the metrics shall tell them from others.
    """
    checkpoint, settings = card.checkpoint, card.checkpoint.settings
    engine = KerasEngine(checkpoint)
    scans = list(scan_examples(examples, store, settings, engine.predict))
    if not scans:
        raise RunError("No test clip could be read; see the reasons above.")
    judged = score_examples(scans, settings)
    write_scores(folder / "scores.csv", judged)
    scores = read_scores(folder / "scores.csv")  # the file alone is what every figure comes from
    metrics = evaluate(scores, trained_families=trained_families)
    if log is not None and trained_families is None:  # networks of folds answer nobody
        metrics["choice"] = choose(examples, scores)
    timelines = {score.path: score.frame_probabilities for score in judged}
    _draw(folder / "plots", scores, timelines, metrics, store, checkpoint, log)
    write_model_card(folder / "MODEL_CARD.md", metrics, card, engine.network.count_params())
    write_metrics(folder / REPORT, metrics)
    files = [folder / name for name in ("scores.csv", REPORT, "MODEL_CARD.md")]
    return Report(folder, metrics, [*files, *sorted((folder / "plots").glob("*.png"))])


def _draw(
    folder: Path,
    scores: Sequence[ClipScore],
    timelines: Mapping[str, Sequence[float]],
    metrics: dict,
    store: FeatureStore,
    checkpoint: Checkpoint,
    log: Path | None,
) -> None:
    from . import plots

    features = checkpoint.settings.features
    if log is not None:
        plots.plot_learning_curves(log, folder / "learning_curves.png")
    plots.plot_confusion_matrix(metrics, folder / "confusion_matrix.png")
    plots.plot_det(scores, folder / "det_curve.png")
    plots.plot_reliability(scores, folder / "reliability.png")
    samples = []
    for label in CLASS_NAMES:
        # The first clip of a class in the file, not the one that looks best.
        chosen = next((s for s in scores if s.label == label and "+" not in s.kind), None)
        if chosen is None:
            continue
        spectrogram = store.read(chosen.path)
        samples.append((label, spectrogram, features.hop_seconds, chosen.true_spans))
        spans = {"truth": chosen.true_spans, "detector": chosen.predicted_spans}
        plots.plot_timeline(
            (spectrogram, features.hop_seconds),
            (timelines[chosen.path], chosen.frame_seconds),
            {name: [(*span, "Fake") for span in found] for name, found in spans.items()},
            len(spectrogram) * features.hop_seconds,
            f"{Path(chosen.path).name}: {label}, judged {chosen.verdict} ({chosen.confidence:.2f})",
            folder / f"timeline_{label.lower()}.png",
            features.highest_hz,
            checkpoint.settings.decision.fake_threshold,
        )
    plots.plot_mel_samples(samples, folder / "mel_spectrogram_sample.png", features.highest_hz)


def evaluate_checkpoint(
    path: Path,
    clips: Sequence[Clip],
    outputs: Path,
    cache: Path,
    jobs: int,
    dask: str | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """Report a checkpoint on a corpus, without anything that its training has seen.

    On the corpus that it was trained on, this is the test set of that training; on another one, every clip that
    was in neither training nor validation, known by content. The report goes into a new folder below `outputs`,
    features into `cache`; `jobs` threads, or the cluster of a scheduler `dask`, compute them. The model card warns of
    `remarks`, too.
    """
    checkpoint, warnings = read_checkpoint(path), []
    try:
        splits = split_corpus(clips, checkpoint.seed)
        is_own = fingerprint(splits) == checkpoint.manifest
    except CorpusError:
        is_own = False  # too small to be split, which a test alone does not need
    if is_own:
        test, groups = splits.sets["test"], splits.groups
        console.say("This is the corpus that the checkpoint was trained on: its test set is used.")
    else:
        test, groups = checkpoint.unseen(clips), {clip.name: clip.name for clip in clips}
        if not test:
            raise RunError("Every clip was seen in training; give --data with other recordings.")
        if len(test) < len(clips):
            warnings.append(
                f"{len(clips) - len(test)} of {len(clips)} clips were seen in training and are left out; "
                "others may share a speaker or generator with them."
            )
    console.warn(warnings)
    splits = Splits(sets={"train": [], "validation": [], "test": test}, groups=groups, left_out=[], warnings=warnings)
    with _folder_of_report(outputs) as folder:
        if {clip.label for clip in test} >= {"Real", "Fake"}:
            examples = split_examples("test", splits, checkpoint.settings, folder / "hybrids", console.progress("test"))
        else:
            warnings.append("The corpus lacks real or fake clips, so no hybrids were spliced.")
            examples = examples_of_clips(test, groups)
        bar = console.progress("Mel-spectrograms")
        with cluster(dask):
            store = extract_features(examples, cache, checkpoint.settings.features, jobs, bar)
        skipped = report_skipped(test, store.failures, folder)
        console.warn(skipped)
        card = Card(
            checkpoint=checkpoint,
            data=describe_data(clips),
            split=splits.counts(without=store.failures),
            warnings=[*warnings, *skipped, *remarks],
            command=console.command_line([*TRAIN.split(), "--evaluate", path]),
        )
        return examine(folder, examples, store, card)


@contextlib.contextmanager
def _folder_of_report(outputs: Path) -> Iterator[Path]:
    """Make a folder for a report, and remove it where none comes about: nothing would go on with it."""
    folder = new_folder(outputs, "evaluation")
    try:
        yield folder
    except BaseException:
        if not (folder / REPORT).is_file():
            shutil.rmtree(folder, ignore_errors=True)
        raise
