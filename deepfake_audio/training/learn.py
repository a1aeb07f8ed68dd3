"""From a split to a checkpoint: hybrids, features, fit, calibration."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from .. import console
from ..corpus.clips import Clip
from ..corpus.manifest import fingerprint, report_skipped, write_manifest
from ..corpus.split import Splits
from ..examples.example import Example
from ..examples.features import FeatureStore, examples_with_features
from ..features.store import FeatureCache
from ..model.checkpoint import Checkpoint
from ..work import cluster
from .runs import Run


@dataclasses.dataclass(frozen=True)
class Learned:
    """What :func:`learn` leaves behind: the checkpoint, the examples of each set, their features, the training log,
    what to tell of clips that were skipped, the number of weights, and the minutes that it took."""

    checkpoint: Checkpoint
    examples: dict[str, list[Example]]
    store: FeatureStore
    log: Path
    skipped: list[str]
    parameters: int
    minutes: float


def learn(
    run: Run,
    splits: Splits,
    cache: Path,
    jobs: int = 1,
    dask: str | None = None,
    left_out: Sequence[tuple[Clip, str]] = (),
    path: Path | None = None,
) -> Learned:
    """Train a network and calibrate it, or go on where that stopped.

    The test set of `splits` gets examples and features, and has no part in training. Features are computed by `jobs`
    threads, or on the cluster `dask`, into `cache`. Clips in `left_out` were left aside before, with the reason. The
    checkpoint is that of the run, unless a path is given.
    """
    started, settings = time.monotonic(), run.settings
    try:
        FeatureCache(cache, settings.features)
        with cluster(dask):
            pass
    except BaseException:
        run.discard()  # unless something has begun that could be resumed
        raise
    write_manifest(run.folder / "manifest.csv", splits)
    with cluster(dask):
        examples, store = examples_with_features(splits, settings, run.folder / "hybrids", cache, jobs)
    placed = [clip for members in splits.sets.values() for clip in members]
    skipped = report_skipped(placed, store.failures, run.folder, left_out)
    console.warn(skipped)

    # TensorFlow is loaded here. Training and validation set only; calibration is on validation.
    console.say(f"Training on {len(examples['train'])} clips, up to {settings.training.epochs} epochs.")
    from .fit import finish, fit

    fitted = fit(examples["train"], examples["validation"], store, settings, run.folder, init_from=run.init_from)
    checkpoint = finish(fitted, examples, store, settings, path or run.model, fingerprint(splits), run.init_from)
    minutes = (time.monotonic() - started) / 60
    return Learned(checkpoint, examples, store, fitted.log, skipped, fitted.parameters, minutes)
