"""Train the detector: corpus -> split -> hybrids -> features -> network -> fit -> report.

    python CNNRNNLSTM.py                          train on data/ (or on the starter clips) and write a report
    python CNNRNNLSTM.py --data DIR --check-data  show what would be used and how it would be split
    python CNNRNNLSTM.py --kaggle OWNER/NAME      train on a dataset from Kaggle
    python CNNRNNLSTM.py --set training.epochs=60 --set augment.noise_chance=0.4
    python CNNRNNLSTM.py --list-settings          show all that can be set
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

import time
from argparse import Namespace

from deepfake_audio import console, interrupts, options, places
from deepfake_audio.corpus.kaggle import dataset_folder
from deepfake_audio.errors import RunError
from deepfake_audio.settings import Settings, differences, listing
from deepfake_audio.text import clean


def corpus(arguments: Namespace) -> list:
    """Return the datasets that were recognised in the folders that are asked for."""
    from deepfake_audio.corpus.recognise import choose_folders, find_datasets

    arguments.data = [*arguments.data, *map(dataset_folder, arguments.kaggle or [])]
    folders, skip, notes = choose_folders(arguments.data, places.data())
    for note in notes:
        console.say(note)
    return find_datasets(folders, skip, arguments.label, arguments.allow_conflicts)


def check(arguments: Namespace) -> None:
    """Tell what a corpus holds, how it would be split, and what looks wrong."""
    from deepfake_audio.corpus.check import check_data

    datasets = corpus(arguments)
    seed = options.settings_of(arguments).training.seed
    bar = console.progress("Decoding")
    with console.results():
        check_data(datasets, seed, arguments.decode_all, arguments.jobs, arguments.json, bar)


def evaluate(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Report a checkpoint on what its training has not seen."""
    from deepfake_audio.corpus.check import remarks
    from deepfake_audio.evaluation.examine import evaluate_checkpoint

    datasets = corpus(arguments)
    aside = warn(remarks(datasets))
    clips = [clip for dataset in datasets for clip in dataset.clips]
    where = arguments.outputs, arguments.cache
    tell(
        evaluate_checkpoint(arguments.evaluate, clips, *where, arguments.jobs, arguments.show, arguments.dask, aside),
        arguments,
        watch,
    )


def train(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Train a network and report it, or go on with the run that was interrupted."""
    from deepfake_audio.corpus.check import remarks
    from deepfake_audio.corpus.manifest import describe, describe_data, fingerprint, report_skipped, write_manifest
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.corpus.split import split_corpus
    from deepfake_audio.evaluation.card import Card
    from deepfake_audio.evaluation.examine import examine, only_unseen
    from deepfake_audio.examples.features import examples_with_features
    from deepfake_audio.features.store import FeatureCache
    from deepfake_audio.model.checkpoint import read_checkpoint
    from deepfake_audio.training.runs import Run, tidy_finished
    from deepfake_audio.work import cluster

    folder = tidy_finished(arguments.outputs) if arguments.resume else None
    if folder:
        return console.say(f"The run that was interrupted is done: the report is in {clean(folder)}.")

    # Settings: those of the run that is resumed, or of a file, a checkpoint and the command line.
    run = Run.interrupted(arguments.outputs) if arguments.resume else None
    if run:
        console.say(f"Resuming {run.folder} with its own settings.")
        arguments.data, arguments.kaggle, arguments.init_from = run.data, None, run.init_from
    elif arguments.resume:
        console.say(f"No run in {arguments.outputs} was interrupted, so a new one starts.")
    base = read_checkpoint(arguments.init_from) if arguments.init_from else None
    if base and not run:
        console.say(f"Starting from {base.path}, trained {base.trained}: its features and its network, your data.")
    settings = run.settings if run else options.settings_of(arguments, base)

    # Corpus: each clip in its set, before anything is spliced.
    datasets = corpus(arguments)
    aside = warn(remarks(datasets))
    clips = [clip for dataset in datasets for clip in dataset.clips]
    splits = split_corpus(clips, settings.training.seed)
    if base:  # what the first training saw proves nothing about the second one
        splits = only_unseen(splits, base)
    areas = shortcuts(splits, jobs=arguments.jobs, progress=console.progress("Audit of shortcuts"))
    splits.warnings.extend(suspicions(areas))
    console.say(describe(splits))
    manifest = fingerprint(splits)
    if run and run.manifest != manifest:
        raise RunError(f"The clips are not those that {run.folder} was started with; start without --resume.")
    new = None if run else Run.start(arguments.outputs, settings, arguments.data, manifest, arguments.init_from)
    run = run or new
    try:
        FeatureCache(arguments.cache, settings.features)
        with cluster(arguments.dask):
            pass
    except BaseException:
        if new:  # nothing has begun that could be resumed
            new.discard()
        raise
    watch.sentence = f"Interrupted. Finished features and epochs are kept; {clean(go_on(arguments))}"
    write_manifest(run.folder / "manifest.csv", splits)

    # Hybrids and features.
    started = time.monotonic()
    where = run.folder / "hybrids", arguments.cache
    with cluster(arguments.dask):
        examples, store = examples_with_features(splits, settings, *where, arguments.jobs)
    placed = [clip for members in splits.sets.values() for clip in members]
    left_out = [row for dataset in datasets for row in dataset.left_out]
    skipped = warn(report_skipped(placed, store.failures, run.folder, left_out))

    # Fit: TensorFlow is loaded here. Training and validation set only; calibration is on validation.
    console.say(f"Training on {len(examples['train'])} clips, up to {settings.training.epochs} epochs.")
    from deepfake_audio.training.fit import finish, fit

    result = fit(examples["train"], examples["validation"], store, settings, run.folder, init_from=arguments.init_from)
    checkpoint = finish(result, examples, store, settings, run.model, manifest, arguments.init_from)

    # Report: the test set is judged once, by the file that script.py will use.
    card = Card(
        checkpoint=checkpoint,
        data=describe_data(clips),
        split=splits.counts(without=store.failures),
        training_minutes=(time.monotonic() - started) / 60,
        shortcuts=areas,
        warnings=[*splits.warnings, *skipped, *aside],
        command=again(arguments, settings, base),
    )
    report = examine(run.folder, examples["test"], store, card, result.log, arguments.show)
    run.tidy()
    judge = console.command_line([*places.JUDGE.split(), "FILE", "--model", run.model])
    return tell(report, arguments, watch, f"\nJudge a recording with:\n    {judge}")


def warn(lines: list[str]) -> list[str]:
    """Say each line as a warning, and return them for the model card."""
    for line in lines:
        console.say(f"warning: {line}")
    return lines


def again(arguments: Namespace, settings: Settings, base=None) -> str:
    """Return the command that trains the same network again."""
    words = [*places.TRAIN.split(), *(["--data", *arguments.data] if arguments.data else [])]
    words += ["--init-from", arguments.init_from] if base else []
    own = base.to_go_on_from(Settings()) if base else Settings()
    words += [word for change in differences(settings, own) for word in ("--set", change)]
    return console.command_line(words + label_words(arguments))


def label_words(arguments: Namespace) -> list[str]:
    """Repeat what was said about labels."""
    words = ["--allow-conflicts"] if arguments.allow_conflicts else []
    return words + [word for name, label in arguments.label for word in ("--label", f"{name}={label.lower()}")]


def go_on(arguments: Namespace) -> str:
    """Name the command that goes on where a run stopped."""
    words = [*places.TRAIN.split(), "--resume", "--outputs", arguments.outputs]
    if arguments.cache != arguments.outputs / "features":
        words += ["--cache", arguments.cache]
    words += label_words(arguments)
    return f"go on with: {console.command_line(words)}"


def tell(report, arguments: Namespace, watch: interrupts.Watch, *more: str) -> None:
    """Tell what was found; all is written by now, so that nothing has to be done again if this is interrupted."""
    watch.sentence = f"Interrupted, but all is done: the report is in {clean(report.folder)}."
    with console.results():
        report.tell(arguments.show)
        for line in more:
            print(line)


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0 fine, 1 something failed, 2 usage, 130 interrupted."""
    console.prepare()
    arguments = options.training(argv, places.outputs())

    def work(watch: interrupts.Watch) -> None:
        if arguments.list_settings:
            with console.results():
                print("\n".join(listing(options.settings_of(arguments))))
        elif arguments.check_data:
            check(arguments)
        elif arguments.evaluate:
            evaluate(arguments, watch)
        else:
            train(arguments, watch)

    kept = "Nothing was written" if arguments.check_data else "Finished features are kept"
    return options.run(work, f"Interrupted. {kept}; start the same command again.", go_on(arguments))


if __name__ == "__main__":
    sys.exit(main())
