"""How long does it take to list and split a large dataset? One row per layout.

    python tests/benchmarks/listing.py [--clips 200000] [--folder DIR]

The clips are files of a few bytes under the names that the datasets use; nothing is decoded. ``--folder`` keeps them
(a disk with room for as many files is needed), otherwise they are removed again.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))


def fake_or_real(root: Path, clips: int):
    """Yield the files of Fake-or-Real: 84, 9 and 7 % of the clips in three partitions."""
    for split, share in (("training", 0.84), ("validation", 0.09), ("testing", 0.07)):
        for label in ("real", "fake"):
            folder = root / "for-norm" / "for-norm" / split / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(round(clips * share / 2)):
                yield folder / f"file{number}.wav_16k.wav_norm.wav_mono.wav_silence.wav"


def asvspoof_2019(root: Path, clips: int):
    """Yield the files of ASVspoof 2019 LA and write its lists: 20 voices and 6 systems per partition."""
    lists = root / "LA" / "LA" / "ASVspoof2019_LA_cm_protocols"
    lists.mkdir(parents=True, exist_ok=True)
    for split, ending, share in (("train", "trn", 0.21), ("dev", "trl", 0.2), ("eval", "trl", 0.59)):
        folder = root / "LA" / "LA" / f"ASVspoof2019_LA_{split}" / "flac"
        folder.mkdir(parents=True, exist_ok=True)
        with (lists / f"ASVspoof2019.LA.cm.{split}.{ending}.txt").open("w", encoding="utf-8") as file:
            for number in range(round(clips * share)):
                name = f"LA_{split[0].upper()}_{1_000_000 + number}"
                what = "- bonafide" if number % 10 == 0 else f"A{number % 6 + 1:02d} spoof"
                file.write(f"LA_{split[0].upper()}{number % 20:03d} {name} - {what}\n")
                yield folder / f"{name}.flac"


def folders(root: Path, clips: int):
    """Yield files in folders named after classes, without partitions: 400 voices and 20 systems."""
    for number in range(clips):
        kind = f"real/voice{number % 400:03d}" if number % 2 else f"fake/system{number // 2 % 20:02d}"
        folder = root / "mine" / kind
        if number < 800:
            folder.mkdir(parents=True, exist_ok=True)
        yield folder / f"{number:06d}.wav"


LAYOUTS = {"Fake-or-Real": fake_or_real, "ASVspoof 2019 LA": asvspoof_2019, "real and fake folders": folders}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    from deepfake_audio.corpus.manifest import fingerprint
    from deepfake_audio.corpus.recognise import find_clips
    from deepfake_audio.corpus.split import split_corpus

    print("| layout | clips | list | split | fingerprint | together |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for title, files in LAYOUTS.items():
            root = (arguments.folder or Path(temporary)) / files.__name__
            for path in files(root, arguments.clips):
                path.write_bytes(b"RIFF")
            times = [time.monotonic()]
            clips = find_clips([root])
            times.append(time.monotonic())
            splits = split_corpus(clips)
            times.append(time.monotonic())
            fingerprint(splits)
            times.append(time.monotonic())
            spent = [f"{after - before:.1f} s" for before, after in itertools.pairwise(times)]
            print(f"| {title} | {len(clips)} | {' | '.join(spent)} | {times[-1] - times[0]:.1f} s |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
