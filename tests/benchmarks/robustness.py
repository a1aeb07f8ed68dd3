"""How much worse does a recipe get when recordings of unseen sources come through a channel?

    python tests/benchmarks/robustness.py --data FOLDER --recipe outputs/folds-NUMBER [--folds 1 2] [--clips 100]

Takes the networks that ``CNNRNNLSTM.py --folds`` trained, sends the same real and fake test clips of each fold through
one channel at a time, and prints the equal error rate of Real against Fake, its rise over the untouched clips in
points, and how many verdicts changed. Level, silence, bandwidth, length and format are also the properties of the
shortcut audit: what changes verdicts there was learnt from the wrong thing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from deepfake_audio import console  # noqa: E402
from deepfake_audio.corpus.clips import Clip  # noqa: E402
from deepfake_audio.corpus.recognise import find_clips  # noqa: E402
from deepfake_audio.examples.channels import add_noise, coded, reverberate  # noqa: E402
from deepfake_audio.model.checkpoint import read_checkpoint  # noqa: E402
from deepfake_audio.settings import CLASS_NAMES, SAMPLE_RATE, Settings  # noqa: E402
from deepfake_audio.sound.reading import quantise, read_audio  # noqa: E402

Channel = Callable[[np.ndarray, np.random.Generator], np.ndarray]

OPUS_16_KBIT = 0.96
"""libsndfile's compression level at which Opus takes about 16 kbit/s for one channel; the real rate is printed."""


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Take a clip down to a lower rate and back."""
    import soxr

    there = soxr.resample(samples, SAMPLE_RATE, rate)
    back = soxr.resample(there, rate, SAMPLE_RATE)[: len(samples)]
    return np.pad(back, (0, len(samples) - len(back)))


def telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """300-3400 Hz, 8 kHz, A-law."""
    from scipy.signal import butter, sosfiltfilt

    band = sosfiltfilt(butter(4, [300, 3400], "bandpass", fs=SAMPLE_RATE, output="sos"), samples)
    return coded(band.astype(np.float32), "A-law", 8000)[0]


def silence_cut(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Leave out what is more than 40 dB under the loudest frame at both ends."""
    from librosa.effects import trim

    return trim(samples, top_db=40)[0]


CHANNELS: dict[str, Channel] = {
    "untouched": lambda samples, rng: samples,
    "MP3, 64 kbit/s": lambda samples, rng: coded(
        samples, "MP3", SAMPLE_RATE, compression_level=0.6316, bitrate_mode="CONSTANT"
    )[0],
    "Opus, 16 kbit/s": lambda samples, rng: coded(samples, "Opus", SAMPLE_RATE, compression_level=OPUS_16_KBIT)[0],
    "telephone": telephone,
    "noise, 10 dB": lambda samples, rng: add_noise(samples, 10.0, 3.0, rng),
    "room, 0.5 s": lambda samples, rng: reverberate(samples, 0.5, 6.0, rng),
    "8 kHz and back": lambda samples, rng: resampled(samples, 8000),
    "12 dB louder": lambda samples, rng: np.clip(samples * 10 ** (12 / 20), -1, 1),
    "12 dB quieter": lambda samples, rng: samples * 10 ** (-12 / 20),
    "silence at the ends cut": silence_cut,
    "first 2 s only": lambda samples, rng: samples[: 2 * SAMPLE_RATE],
}


def judge(clips: list[Clip], channel: Channel, settings: Settings, predict) -> tuple[np.ndarray, list[str]]:
    """Return the probability of Real and the most probable class of every clip behind a channel."""
    from deepfake_audio.features.log_mel import log_mel
    from deepfake_audio.features.speech import speech_seconds
    from deepfake_audio.judging.decision import decide
    from deepfake_audio.judging.scanner import scan_features

    real, decided = [], []
    for number, clip in enumerate(clips):
        samples = channel(read_audio(clip.path), np.random.default_rng(number))
        samples = quantise(np.asarray(samples, dtype=np.float32))
        mel = log_mel(samples, settings.features)
        seconds = len(samples) / SAMPLE_RATE
        found = decide(scan_features(mel, settings, predict, seconds, speech_seconds(samples, SAMPLE_RATE)), settings)
        real.append(found.probabilities["Real"])
        decided.append(CLASS_NAMES[int(np.argmax(list(found.probabilities.values())))])
    return np.array(real), decided


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, required=True, help="folder that --folds wrote")
    parser.add_argument("--folds", type=int, nargs="+", default=[1])
    parser.add_argument("--clips", type=int, default=100, help="test clips of each class and fold")
    arguments = parser.parse_args()
    from deepfake_audio.evaluation.ranking import equal_error_rate

    clips = find_clips([arguments.data])
    rates = {name: [] for name in CHANNELS}
    changed = {name: [] for name in CHANNELS}
    bar = console.progress("Channels")
    for place, fold in enumerate(arguments.folds):
        folder = arguments.recipe / f"fold-{fold}"
        checkpoint = read_checkpoint(folder / "model.keras")
        settings, predict = checkpoint.settings, checkpoint.network().predict_on_batch
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
            tested = {row["clip"] for row in csv.DictReader(file) if row["split"] == "test"}
        test = [clip for clip in clips if clip.name in tested]
        rng = np.random.default_rng(fold)
        chosen = []
        for label in ("Real", "Fake"):
            members = [clip for clip in test if clip.label == label]
            some = rng.choice(len(members), min(arguments.clips, len(members)), replace=False)
            chosen += [members[i] for i in sorted(some)]
        fake = [clip.label == "Fake" for clip in chosen]
        before: list[str] = []
        for number, (name, channel) in enumerate(CHANNELS.items(), start=1):
            real, decided = judge(chosen, channel, settings, predict)
            before = before or decided  # the first channel is none
            rates[name].append(equal_error_rate(fake, 1 - real))
            changed[name] += [now != then for now, then in zip(decided, before, strict=True)]
            bar(place * len(CHANNELS) + number, len(arguments.folds) * len(CHANNELS))
    kbit = coded(read_audio(clips[0].path), "Opus", SAMPLE_RATE, compression_level=OPUS_16_KBIT)[1]
    print(f"{len(changed['untouched'])} clips of folds {arguments.folds}; Opus took {kbit:.1f} kbit/s\n")
    print("| channel | EER Real/Fake, mean of folds | rise in points | verdicts changed |")
    print("|---|---|---|---|")
    base = np.mean(rates["untouched"])
    for name in CHANNELS:
        rate = np.mean(rates[name])
        print(f"| {name} | {100 * rate:.1f} % | {100 * (rate - base):+.1f} | {100 * np.mean(changed[name]):.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
