"""Does the memory of a training depend on the number of clips? Peak of one epoch over more and more clips.

    python tests/benchmarks/memory.py [--clips 300 1000 3000]

Every size is a process of its own that extracts features of so many clips (the starter clips, again and again) and
trains for one epoch. Needs an operating system that tells a process's peak memory (macOS or Linux).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))


def one(clips: int) -> float:
    """Train on so many clips and return the peak memory of this process in MiB."""
    import resource

    from deepfake_audio.corpus.recognise import find_clips
    from deepfake_audio.examples.example import examples_of_clips
    from deepfake_audio.examples.features import extract_features
    from deepfake_audio.settings import Settings

    found = find_clips([HERE / "data" / "starter"])
    base = examples_of_clips(found, {clip.name: clip.source for clip in found})
    examples = [
        dataclasses.replace(example, name=f"{number}/{example.name}")
        for number, example in zip(range(clips), itertools.cycle(base), strict=False)
    ]
    settings = Settings()
    settings = dataclasses.replace(settings, training=dataclasses.replace(settings.training, epochs=1))
    with tempfile.TemporaryDirectory() as folder:
        store = extract_features(examples, Path(folder), settings.features, jobs=2)
        from deepfake_audio.training.fit import fit

        fit(examples[: -clips // 5], examples[-clips // 5 :], store, settings, Path(folder), verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(one(arguments.one))
        return 0
    print("| clips | peak memory | against the first |\n|---|---|---|")
    first = None
    for clips in arguments.clips:
        command = [sys.executable, __file__, "--one", str(clips)]
        peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        first = first or peak
        print(f"| {clips} | {peak:.0f} MiB | {peak / first:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
