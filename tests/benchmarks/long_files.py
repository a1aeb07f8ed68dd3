"""Does the memory of judging depend on the length of a recording? Peak over files of 10 minutes and of hours.

    python tests/benchmarks/long_files.py --model outputs/RUN/model.keras [--minutes 10 120 600]

Every length is a process of its own that judges one file: starter clips in a row, with pauses. Needs an operating
system that tells a process's peak memory (macOS or Linux).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))


def write_long(path: Path, minutes: float) -> None:
    """Write starter clips in a row, two seconds of near silence after each."""
    clips = [soundfile.read(clip, dtype="float32") for clip in sorted((HERE / "data" / "starter").rglob("*.flac"))]
    clips = [samples for samples, rate in clips if rate == 16_000 and samples.ndim == 1]
    pause = (1e-4 * np.random.default_rng(0).normal(size=32_000)).astype(np.float32)
    left = round(minutes * 60 * 16_000)
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
        while left > 0:
            for clip in clips:
                for part in (clip, pause):
                    file.write(part[: max(0, left)])
                    left -= len(part)


def one(path: Path, model: Path) -> str:
    """Judge one file; return minutes, peak memory in MiB, and seconds that it took."""
    import resource

    from deepfake_audio import Detector

    detector = Detector(model)
    started = time.monotonic()
    judgement = detector.judge(path).to_dict()
    took = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return f"{judgement['seconds'] / 60:.0f} {len(judgement['segments'])} {peak:.0f} {took:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 120, 600])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(one(arguments.one, arguments.model))
        return 0
    print("| minutes | segments | peak memory | against the first | seconds |\n|---|---|---|---|---|")
    first = None
    for minutes in arguments.minutes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "long.flac"
            write_long(path, minutes)
            command = [sys.executable, __file__, "--model", str(arguments.model), "--one", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found, segments, peak, took = done.stdout.split()
        first = first or float(peak)
        print(f"| {found} | {segments} | {peak} MiB | {float(peak) / first:.2f} | {took} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
