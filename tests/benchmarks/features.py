"""Do time per clip and memory of feature extraction depend on the number of clips?

    python tests/benchmarks/features.py [--clips 1000 10000 100000] [--folder DIR]

Every size is a process of its own with an empty cache: it extracts so many generated clips of half a second, and then
again from the full cache, which decodes nothing. The clips are different files, written by another process. The list
of clips is not held in memory but made as it is asked for, so that the peak is that of the extraction. Processor time
is that of the extracting process alone, which hardly depends on what else the machine does; its decoders are others.
Prints a Markdown table. Needs an operating system that tells a process's peak memory (macOS or Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

SECONDS = 0.5
PER_FOLDER = 1000


def clip_path(folder: Path, number: int) -> Path:
    """Return where a clip lies: folders with hundreds of thousands of files are slow on some file systems."""
    return folder / f"{number // PER_FOLDER:04d}" / f"{number:06d}.wav"


def generate(folder: Path, count: int) -> None:
    """Write clips that all differ: one noise, from another place on and at another level."""
    import numpy as np
    import soundfile

    rate = 16_000
    samples = round(SECONDS * rate)
    noise = np.random.default_rng(0).normal(0.0, 3000.0, samples + count).astype(np.int16)
    for number in range(count):
        path = clip_path(folder, number)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise[number : number + samples], rate)


class Clips(Sequence):
    """Examples of generated clips, made when they are asked for."""

    def __init__(self, folder: Path, numbers: range):
        self.folder, self.numbers = folder, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        from deepfake_audio.examples.example import Example

        if isinstance(index, slice):
            return Clips(self.folder, self.numbers[index])
        number = self.numbers[index]
        return Example(f"{number}", clip_path(self.folder, number), "Real", "real", "group")


def one(folder: Path, cache: Path, count: int) -> dict[str, float]:
    """Extract so many clips twice; return seconds and processor seconds of both, peak memory in MiB, bytes on disk."""
    import resource

    import numpy as np

    from deepfake_audio.examples import example
    from deepfake_audio.settings import FeatureSettings

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)

    settings, clips = FeatureSettings(), Clips(folder, range(count))
    example.log_mel(np.zeros(16_000, dtype=np.float32), settings)  # what is loaded and compiled once is not counted
    times = []
    for _ in range(2):
        started, worked = time.monotonic(), time.process_time()
        found = len(example.extract_features(clips, cache, settings, jobs=2).extents)
        times += [time.monotonic() - started, time.process_time() - worked]
        assert found == count
    size = sum(path.stat().st_size for path in cache.iterdir())
    names = ("first", "first_cpu", "second", "second_cpu")
    return dict(zip(names, times, strict=True)) | {"peak": peak(), "size": size}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where the clips are kept (default: a temporary folder)")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(Path(arguments.one[0]), Path(arguments.one[1]), int(arguments.one[2]))))
        return 0
    print("| clips | first run | per clip, processor | second run | per clip, processor | peak memory "
          "| against the first | on disk |")  # fmt: skip
    print("|---" * 8 + "|", flush=True)
    least = None
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        for count in arguments.clips:
            generate(folder, count)
            with tempfile.TemporaryDirectory() as cache:
                command = [sys.executable, __file__, "--one", str(folder), cache, str(count)]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            least = least or found["peak"]
            cells = [f"{count:,}"]
            for name in ("first", "second"):
                cells += [f"{found[name]:.1f} s", f"{1000 * found[name + '_cpu'] / count:.2f} ms"]
            cells += [f"{found['peak']:.0f} MiB", f"{found['peak'] / least:.2f}", f"{found['size'] / 1e6:.0f} MB"]
            print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
