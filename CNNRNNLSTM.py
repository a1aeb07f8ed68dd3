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
from deepfake_audio.corpus.kaggle import dataset_folder
from deepfake_audio.errors import RunError
from deepfake_audio.settings import Settings
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
    from deepfake_audio.corpus.manifest import describe, describe_data, fingerprint
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.corpus.split import split_corpus
    from deepfake_audio.evaluation.card import Card
    from deepfake_audio.evaluation.examine import examine, only_unseen
    from deepfake_audio.features.store import FeatureCache
    from deepfake_audio.model.checkpoint import read_checkpoint
    from deepfake_audio.training.learn import learn
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

    # Hybrids, features, fit and calibration: of the test set, nothing but the features.
    left_out = [row for dataset in datasets for row in dataset.left_out]
    learned = learn(run, splits, arguments.cache, arguments.jobs, arguments.dask, left_out)

    # Report: the test set is judged once, by the file that script.py will use.
    card = Card(
        checkpoint=learned.checkpoint,
        data=describe_data(clips),
        split=splits.counts(without=learned.store.failures),
        training_minutes=learned.minutes,
        shortcuts=areas,
        warnings=[*splits.warnings, *learned.skipped, *aside],
        command=again(arguments, settings, base),
    )
    report = examine(run.folder, learned.examples["test"], learned.store, card, learned.log, arguments.show)
    run.tidy()
    judge = console.command_line([*places.JUDGE.split(), "FILE", "--model", run.model])
    return tell(report, arguments, watch, f"\nJudge a recording with:\n    {judge}")


def cross_validate(arguments: Namespace, watch: interrupts.Watch) -> None:
    """Judge every source by a network that has not seen it; with --ship, train one on all of them as well."""
    from deepfake_audio.corpus.check import remarks
    from deepfake_audio.corpus.manifest import describe, describe_data, report_skipped
    from deepfake_audio.corpus.shortcuts import shortcuts, suspicions
    from deepfake_audio.evaluation.card import Card
    from deepfake_audio.evaluation.examine import examine
    from deepfake_audio.evaluation.folds import about_folds, folder_of_folds, ship, table_of_folds
    from deepfake_audio.evaluation.scores import read_scores
    from deepfake_audio.examples.example import examples_of_clips
    from deepfake_audio.examples.features import extract_features
    from deepfake_audio.model.checkpoint import MODEL
    from deepfake_audio.training.folds import everything_split, fold_splits, near_duplicates
    from deepfake_audio.training.learn import learn
    from deepfake_audio.training.runs import REPORT, Run
    from deepfake_audio.work import cluster

    # Corpus: recordings that stand under several sources are found by their features.
    settings = options.settings_of(arguments)
    datasets = corpus(arguments)
    aside = warn(remarks(datasets))
    clips = [clip for dataset in datasets for clip in dataset.clips]
    bar = console.progress("Mel-spectrograms")
    with cluster(arguments.dask):
        examples = examples_of_clips(clips, {clip.name: "" for clip in clips})
        store = extract_features(examples, arguments.cache, settings.features, arguments.jobs, bar)
    near = near_duplicates(clips, store)
    splits = fold_splits(clips, arguments.folds, near, settings.training.seed)
    home = folder_of_folds(arguments.outputs, settings, splits)
    home.mkdir(parents=True, exist_ok=True)
    report_skipped(clips, store.failures, home, [row for dataset in datasets for row in dataset.left_out])
    watch.sentence = f"Interrupted. Finished folds and epochs are kept in {clean(home)}; start the same command again."
    command, data = again(arguments, settings), describe_data(clips)

    # Folds: each a run of its own, in a folder that the same command finds again.
    for number, fold in enumerate(splits, 1):
        folder = home / f"fold-{number}"
        if (folder / REPORT).is_file():
            continue
        console.say(f"\nFold {number} of {len(splits)}\n{describe(fold)}")
        run = Run.at(folder, settings, arguments.data)
        learned = learn(run, fold, arguments.cache, arguments.jobs, arguments.dask)
        counts, warnings = fold.counts(without=learned.store.failures), [*learned.skipped, *aside]
        card = Card(learned.checkpoint, data, counts, warnings, command, learned.minutes)
        families = {clip.generator_family for clip in fold.sets["train"] if clip.label == "Fake"}
        examine(folder, learned.examples["test"], learned.store, card, learned.log, trained_families=families)
        run.tidy()
    folders = [home / f"fold-{number}" for number in range(1, len(splits) + 1)]

    # Ship: the same recipe on all sources, but for a tenth that calibrates; its figures are those of the folds.
    if arguments.ship:
        everything = everything_split(clips, near, settings.training.seed)
        console.say(f"\nAll sources\n{describe(everything)}")
        run = Run.at(home / "everything", settings, arguments.data)
        path = arguments.ship / MODEL
        learned = learn(run, everything, arguments.cache, arguments.jobs, arguments.dask, path=path)
        found = [shortcuts(fold, jobs=arguments.jobs) for fold in splits]
        areas = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
        scores = [score for folder in folders for score in read_scores(folder / "scores.csv")]
        counts = everything.counts(without=learned.store.failures)
        card = Card(
            checkpoint=learned.checkpoint,
            data=data,
            sources=sorted({clip.source for clip in clips} - {""}),
            split={split: counts[split] for split in ("train", "validation")},
            training_minutes=learned.minutes,
            shortcuts=areas,
            about_shortcuts="fitted and tested within each fold, the mean of them",
            about_results=about_folds(len(folders), scores, clips),
            warnings=[*suspicions(areas), *learned.skipped, *aside],
            command=command,
            remarks=arguments.remarks.read_text(encoding="utf-8") if arguments.remarks else "",
        )
        ship(arguments.ship, folders, card, learned.parameters)
        run.release()  # with its states: the same command again trains nothing
    watch.sentence = f"Interrupted, but all is done: the folds are in {clean(home)}."
    with console.results():
        print(table_of_folds(folders))
        for path in (*folders, *([arguments.ship] if arguments.ship else [])):
            print(path)


def warn(lines: list[str]) -> list[str]:
    """Say each line as a warning, and return them for the model card."""
    for line in lines:
        console.say(f"warning: {line}")
    return lines


def again(arguments: Namespace, settings: Settings, base=None) -> str:
    """Return the command that trains the same network again."""
    words = [*places.TRAIN.split(), *(["--data", *arguments.data] if arguments.data else [])]
    words += ["--init-from", arguments.init_from] if base else []
    words += ["--folds", arguments.folds] if arguments.folds else []
    words += ["--ship", arguments.ship] if arguments.ship else []
    own = base.to_go_on_from(Settings()) if base else Settings()
    words += [word for change in options.differences(settings, own) for word in ("--set", change)]
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
    return options.run(work, f"Interrupted. {kept}; start the same command again.", go_on(arguments))


if __name__ == "__main__":
    sys.exit(main())
