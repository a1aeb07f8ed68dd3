"""Train the detector: corpus -> split -> hybrids -> features -> network -> fit -> report.

    python CNNRNNLSTM.py                          train on data/ (or on the starter clips) and write a report
    python CNNRNNLSTM.py --data DIR --check-data  show what would be used and how it would be split
    python CNNRNNLSTM.py --kaggle OWNER/NAME      train on a dataset from Kaggle
    python CNNRNNLSTM.py --set training.epochs=60 --set augment.noise_chance=0.4
    python CNNRNNLSTM.py --data DIR --folds 5 --ship FOLDER
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

from argparse import Namespace

from deepfake_audio import console, interrupts, options, places
from deepfake_audio.errors import RunError
from deepfake_audio.text import clean


def corpus(arguments: Namespace):
    """Return the datasets that were recognised in the folders that are asked for."""
    from deepfake_audio.corpus.clips import Corpus
    from deepfake_audio.corpus.kaggle import dataset_folder
    from deepfake_audio.corpus.recognise import choose_folders, find_datasets

    arguments.data = [*arguments.data, *map(dataset_folder, arguments.kaggle or [])]
    folders, skip, notes = choose_folders(arguments.data, places.data())
    for note in notes:
        console.say(note)
    return Corpus(find_datasets(folders, skip, arguments.label, arguments.allow_conflicts))


def check(arguments: Namespace) -> None:
    """Tell what a corpus holds, how it would be split, and what looks wrong."""
    from deepfake_audio.corpus.check import check_data

    found = corpus(arguments)
    seed = options.settings_of(arguments).training.seed
    with console.results():
        check_data(found.datasets, seed, arguments.decode_all, arguments.jobs, arguments.json)


def evaluate(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Report a checkpoint on what its training has not seen."""
    from deepfake_audio.evaluation.examine import evaluate_checkpoint

    found = corpus(arguments)
    console.warn(found.remarks)
    how = arguments.outputs, arguments.cache, arguments.jobs, arguments.dask
    tell(evaluate_checkpoint(arguments.evaluate, found.clips, *how, found.remarks), watch)


def train(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Train a network and report it, or go on with the run that was interrupted."""
    from deepfake_audio.corpus.manifest import describe, describe_data, fingerprint
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.corpus.split import split_corpus
    from deepfake_audio.evaluation.card import Card
    from deepfake_audio.evaluation.examine import examine, only_unseen
    from deepfake_audio.model.checkpoint import read_checkpoint
    from deepfake_audio.training.learn import learn
    from deepfake_audio.training.runs import Run, tidy_finished

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
    found = corpus(arguments)
    console.warn(found.remarks)
    splits = split_corpus(found.clips, settings.training.seed)
    if base:  # what the first training saw proves nothing about the second one
        splits = only_unseen(splits, base)
    areas = shortcuts(splits, jobs=arguments.jobs)
    splits.warnings.extend(suspicions(areas))
    console.say(describe(splits))
    manifest = fingerprint(splits)
    if run and run.manifest != manifest:
        raise RunError(f"The clips are not those that {run.folder} was started with; start without --resume.")
    run = run or Run.start(arguments.outputs, settings, arguments.data, manifest, arguments.init_from)
    watch.sentence = f"Interrupted. Finished features and epochs are kept; {clean(options.go_on(arguments))}"

    # Hybrids, features, fit and calibration: of the test set, nothing but the features.
    learned = learn(run, splits, arguments.cache, arguments.jobs, arguments.dask, found.left_out)

    # Report: the test set is judged once, by the file that script.py will use.
    card = Card.of_training(
        learned,
        splits,
        data=describe_data(found.clips),
        shortcuts=areas,
        warnings=[*splits.warnings, *found.remarks],
        command=options.again(arguments, settings, base),
    )
    report = examine(run.folder, learned.examples["test"], learned.store, card, learned.log)
    run.tidy()
    judge = console.command_line([*places.JUDGE.split(), "FILE", "--model", run.model])
    return tell(report, watch, f"\nJudge a recording with:\n    {judge}")


def cross_validate(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Judge every source by a network that has not seen it; with --ship, train one on all of them as well."""
    from deepfake_audio.evaluation.folds import Folds

    settings, found = options.settings_of(arguments), corpus(arguments)
    console.warn(found.remarks)
    where = arguments.outputs, arguments.cache, arguments.jobs, arguments.dask
    folds = Folds(found, settings, arguments.folds, *where, options.again(arguments, settings))
    watch.sentence = f"Interrupted. What is finished is kept in {clean(folds.home)}; start the same command again."
    for number in range(arguments.folds):
        folds.train(number)
    if arguments.ship:
        folds.ship(arguments.ship, arguments.remarks)
    watch.sentence = f"Interrupted, but all is done: the folds are in {clean(folds.home)}."
    with console.results():
        print(folds.table())
        for path in (*folds.folders, *([arguments.ship] if arguments.ship else [])):
            print(path)


def tell(report, watch: interrupts.Watch, *more: str) -> None:
    """Tell what was found; all is written by now, so that nothing has to be done again if this is interrupted."""
    watch.sentence = f"Interrupted, but all is done: the report is in {clean(report.folder)}."
    with console.results():
        report.tell()
        for line in more:
            print(line)


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0 fine, 1 something failed, 2 usage, 130 interrupted."""
    console.prepare()
    arguments = options.training(argv, places.outputs())

    def work(watch: interrupts.Watch) -> None:
        if arguments.list_settings:
            with console.results():
                print("\n".join(options.listing(options.settings_of(arguments))))
        elif arguments.check_data:
            check(arguments)
        elif arguments.evaluate:
            evaluate(arguments, watch)
        elif arguments.folds:
            cross_validate(arguments, watch)
        else:
            train(arguments, watch)

    kept = "Nothing was written" if arguments.check_data else "Finished features are kept"
    return options.run(work, f"Interrupted. {kept}; start the same command again.", options.go_on(arguments))


if __name__ == "__main__":
    sys.exit(main())
