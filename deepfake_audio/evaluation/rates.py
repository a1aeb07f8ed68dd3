"""What a threshold costs: missed fakes against false alarms, from the scores of the run that made a checkpoint."""

from __future__ import annotations

from pathlib import Path

from ..errors import DeepfakeAudioError
from .scores import read_scores


def expected_rates(checkpoint: Path, threshold: float) -> str:
    """Say in a sentence what share of test clips a threshold of not being Real gets wrong."""
    unknown = (
        f"What the threshold {threshold:g} costs is not known: no scores.csv of its run lies beside the checkpoint."
    )
    files = (checkpoint.with_name(name) for name in ("scores.csv", "scores.csv.gz"))
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        return unknown
    try:
        scores = read_scores(path)
    except DeepfakeAudioError:
        return unknown
    called = [(score.label != "Real", 1.0 - score.probabilities[0] >= threshold) for score in scores]
    alarms, misses = [c for spoof, c in called if not spoof], [not c for spoof, c in called if spoof]
    if not alarms or not misses:
        return unknown
    return (
        f"At the threshold {threshold:g}, {100 * sum(misses) / len(misses):.0f} % of {len(misses)} fake and hybrid "
        f"test clips passed as Real, and {100 * sum(alarms) / len(alarms):.0f} % of {len(alarms)} real ones did not."
    )
