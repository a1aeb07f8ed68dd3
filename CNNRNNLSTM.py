"""Train the detector: corpus -> split -> hybrids -> features -> network -> fit -> report.

    python CNNRNNLSTM.py                          train on data/ (or on the starter clips) and write a report
    python CNNRNNLSTM.py --data DIR --check-data  show what would be used and how it would be split
    python CNNRNNLSTM.py --kaggle OWNER/NAME      train on a dataset from Kaggle
    python CNNRNNLSTM.py --resume                 go on with a run that was interrupted
    python CNNRNNLSTM.py --evaluate outputs/RUN/model.keras --data DIR

Everything a run makes goes into outputs/run-DATE-TIME/.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent)]  # which python -I leaves out

from deepfake_audio import early

if __name__ == "__main__":
    early.begin(early.TRAINING)

import dataclasses
import time
from argparse import Namespace

from deepfake_audio import console, interrupts, options, places
from deepfake_audio.corpus.kaggle import dataset_folder
from deepfake_audio.errors import DeepfakeAudioError, RunError
from deepfake_audio.settings import Settings
from deepfake_audio.text import clean


def go_on(arguments: Namespace) -> str:
    """Name the command that goes on where a run stopped."""
    words = [*places.TRAIN.split(), "--resume", "--outputs", arguments.outputs]
    if arguments.cache != arguments.outputs / "features":
        words += ["--cache", arguments.cache]
    words += label_words(arguments)
    return f"go on with: {console.command_line(words)}"


def label_words(arguments: Namespace) -> list[str]:
    """Repeat what was said about labels."""
    words = ["--allow-conflicts"] if arguments.allow_conflicts else []
    return words + [word for name, label in arguments.label for word in ("--label", f"{name}={label.lower()}")]


def begin(arguments: Namespace) -> tuple:
    """Return settings, the run that is resumed, and the checkpoint to start from, read and by its path."""
    from deepfake_audio.model.checkpoint import read_checkpoint
    from deepfake_audio.training.runs import Run

    if arguments.resume:
        run = Run.interrupted(arguments.outputs)
        if run:
            console.say(f"Resuming {run.folder} with its own settings.")
            return run.settings, run, read_checkpoint(run.init_from) if run.init_from else None, run.init_from
        console.say(f"No run in {arguments.outputs} was interrupted, so a new one starts.")
    # The defaults, unless the command line or the checkpoint to start from has others.
    asked = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "seed")}
    settings = Settings()
    training = dataclasses.replace(settings.training, **{k: v for k, v in asked.items() if v is not None})
    settings = dataclasses.replace(settings, training=training)
    if not arguments.init_from:
        return settings, None, None, None
    base = read_checkpoint(arguments.init_from)
    console.say(f"Starting from {base.path}, trained {base.trained}: its features and its network, your data.")
    return base.to_go_on_from(settings), None, base, arguments.init_from


def corpus(arguments: Namespace, run) -> tuple[list, list]:
    """Return the folders and the datasets that were recognised in them."""
    from deepfake_audio.corpus.recognise import choose_folders, find_datasets

    if arguments.kaggle and not run:
        arguments.data = [*arguments.data, *map(dataset_folder, arguments.kaggle)]
    folders, skip, notes = choose_folders(run.data if run else arguments.data, places.data())
    for note in notes:
        console.say(note)
    return folders, find_datasets(folders, skip, arguments.label, arguments.allow_conflicts)


def split(clips: list, seed: int, base, jobs: int) -> tuple:
    """Put each clip in its set, before anything is spliced, and say what tells the classes apart without speech."""
    from deepfake_audio.corpus.manifest import describe
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.corpus.split import split_corpus
    from deepfake_audio.evaluation.examine import only_unseen

    splits = split_corpus(clips, seed)
    if base:
        # What the first training saw proves nothing about the second one.
        splits = only_unseen(splits, base)
    # A shortcut would be learnt instead of speech.
    areas = shortcuts(splits, jobs=jobs, progress=console.progress("Audit of shortcuts"))
    splits.warnings.extend(suspicions(areas))
    console.say(describe(splits))
    return splits, areas


def spectrograms(splits, settings: Settings, folder: Path, arguments: Namespace) -> tuple:
    """Splice hybrids and their same-class controls, each set from its own clips; then features, once per content."""
    from deepfake_audio.examples.example import extract_features, split_examples
    from deepfake_audio.work import cluster

    jobs = arguments.jobs
    examples = {
        split: split_examples(split, splits, settings, folder / "hybrids", jobs, console.progress(split))
        for split in splits.sets
    }
    everything = [example for members in examples.values() for example in members]
    bar = console.progress("Mel-spectrograms")
    with cluster(arguments.dask):
        return examples, extract_features(everything, arguments.cache, settings.features, jobs, bar)


def start(arguments: Namespace, run, settings: Settings, manifest: str, init_from: Path | None):
    """Return the run that is resumed, or a new one, which is not kept if it could not even begin."""
    from deepfake_audio.features.store import FeatureCache
    from deepfake_audio.training.runs import Run
    from deepfake_audio.work import cluster

    new = None if run else Run.start(arguments.outputs, settings, arguments.data, manifest, init_from)
    try:
        FeatureCache(arguments.cache, settings.features)
        with cluster(arguments.dask):
            pass
    except BaseException:
        if new:
            new.discard()
        raise
    return new or run


def tell(report, arguments: Namespace, watch: interrupts.Watch, *more: str) -> None:
    """Tell what was found; all is written by now, so that nothing has to be done again if this is interrupted."""
    watch.sentence = f"Interrupted, but all is done: the report is in {clean(report.folder)}."
    with console.results():
        report.tell(arguments.show)
        for line in more:
            print(line)


def experiment(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Run the whole story, or the part of it that was asked for."""
    from deepfake_audio.corpus.check import check_data, remarks
    from deepfake_audio.corpus.manifest import describe_data, fingerprint, report_skipped, write_manifest
    from deepfake_audio.evaluation.examine import evaluate_checkpoint, examine
    from deepfake_audio.training.runs import tidy_finished

    folder = tidy_finished(arguments.outputs) if arguments.resume else None
    if folder:
        return console.say(f"The run that was interrupted is done: the report is in {clean(folder)}.")

    # Corpus: which clips there are.
    settings, run, base, init_from = begin(arguments)
    folders, datasets = corpus(arguments, run)
    clips = [clip for dataset in datasets for clip in dataset.clips]
    if arguments.check_data:
        bar = console.progress("Decoding")
        seed, every = settings.training.seed, arguments.decode_all
        with console.results():
            return check_data(datasets, seed, every, arguments.jobs, arguments.json, bar)
    aside = remarks(datasets)
    for line in aside:
        console.say(f"warning: {line}")
    if arguments.evaluate:
        where = arguments.outputs, arguments.cache
        report = evaluate_checkpoint(
            arguments.evaluate, clips, *where, arguments.jobs, arguments.show, arguments.dask, aside
        )
        return tell(report, arguments, watch)
    splits, areas = split(clips, settings.training.seed, base, arguments.jobs)
    manifest = fingerprint(splits)
    if run and run.manifest != manifest:
        raise RunError(f"The clips are not those that {run.folder} was started with; start without --resume.")
    run = start(arguments, run, settings, manifest, init_from)
    watch.sentence = f"Interrupted. Finished features and epochs are kept; {clean(go_on(arguments))}"
    write_manifest(run.folder / "manifest.csv", splits)

    # Hybrids and features.
    started = time.monotonic()
    examples, store = spectrograms(splits, settings, run.folder, arguments)
    used = [clip for members in splits.sets.values() for clip in members]
    left_out = [row for dataset in datasets for row in dataset.left_out]
    skipped = report_skipped(used, store.failures, run.folder, left_out)
    for line in skipped:
        console.say(f"warning: {line}")

    # Fit: TensorFlow is loaded here. Training and validation set only; calibration is on validation.
    console.say(f"Training on {len(examples['train'])} clips, up to {settings.training.epochs} epochs.")
    from deepfake_audio.training.fit import finish, fit

    result = fit(examples["train"], examples["validation"], store, settings, run.folder, init_from=init_from)
    checkpoint = finish(result, examples, store, settings, run.model, manifest, init_from)

    # Report: the test set is judged once, by the file that script.py will use.
    words = [*places.TRAIN.split(), "--data", *folders, "--epochs", settings.training.epochs]
    words += ["--batch-size", settings.training.batch_size, "--seed", settings.training.seed]
    words += [*(["--init-from", init_from] if init_from else []), *label_words(arguments)]
    card = {
        "data": describe_data(clips),
        "split": splits.counts(without=store.failures),
        "training_minutes": (time.monotonic() - started) / 60,
        "shortcuts": areas,
        "warnings": splits.warnings + skipped + aside,
        "command": console.command_line(words),
    }
    report = examine(run.folder, checkpoint, examples["test"], store, card, result.log, arguments.show)
    run.tidy()
    judge = console.command_line([*places.JUDGE.split(), "FILE", "--model", run.model])
    return tell(report, arguments, watch, f"\nJudge a recording with:\n    {judge}")


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0 fine, 1 something failed, 2 usage, 130 interrupted."""
    console.prepare()
    arguments = options.training(argv, places.outputs())
    kept = "Nothing was written" if arguments.check_data else "Finished features are kept"
    try:
        with interrupts.Watch(f"Interrupted. {kept}; start the same command again.") as watch:
            experiment(arguments, watch)
            return 0
        return interrupts.EXIT_CODE
    except DeepfakeAudioError as error:
        # Cleaned line by line, so that no name in one begins another.
        console.say("error: " + "\n".join(map(clean, error.args)))
        return 1
    except BrokenPipeError:
        return 1  # whoever read the results has stopped
    except OSError as error:
        where = error.filename or f"A file in {arguments.outputs}"  # libraries do not always say which
        what = f"error: {where} cannot be read or written ({error.strerror or error})"
        console.say(clean(f"{what}; {go_on(arguments)}"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
