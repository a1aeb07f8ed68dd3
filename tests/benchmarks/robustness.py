"""What becomes of a model's answers when recordings come through channels, and when they are long?

    python tests/benchmarks/robustness.py --data FOLDER [--model CHECKPOINT] [--clips 200]
    python tests/benchmarks/robustness.py --data FOLDER --lengths 10 60 300
    python tests/benchmarks/robustness.py --data FOLDER --lengths 1800 --one-voice

Takes clips of FOLDER that the model has not seen in training. The first form sends the same real and fake clips
through one channel at a time and prints the equal error rate of Real against Fake, its rise over the untouched clips in
points, how many verdicts changed, and how many real clips were called Fake or Hybrid. Level, silence, bandwidth, length
and format are also the properties of the shortcut audit: what changes verdicts there was learnt from the wrong thing.
The others join real clips of one source and voice, as often as it takes, to recordings of so many seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from deepfake_audio import Detector, console  # noqa: E402
from deepfake_audio.corpus.clips import Clip  # noqa: E402
from deepfake_audio.corpus.recognise import find_clips  # noqa: E402
from deepfake_audio.examples.backgrounds import BACKGROUNDS  # noqa: E402
from deepfake_audio.examples.channels import add_noise, coded, lose_packets, mixed, reverberate  # noqa: E402
from deepfake_audio.settings import SAMPLE_RATE  # noqa: E402
from deepfake_audio.sound.reading import quantise, read_audio  # noqa: E402

Channel = Callable[[np.ndarray, np.random.Generator], np.ndarray]
ACCUSING = ("Fake", "Hybrid")


def at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
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


def with_codec(name: str, rate: int, kbit: float) -> Channel:
    """Return a channel that is one codec of ffmpeg."""
    return lambda samples, rng: coded(samples, name, rate, kbit_per_second=kbit)[0]


def behind(name: str, snr_db: float) -> Channel:
    """Return a channel that is one background."""
    return lambda samples, rng: mixed(samples, BACKGROUNDS[name](len(samples), rng), snr_db)


CHANNELS: dict[str, Channel] = {
    "untouched": lambda samples, rng: samples,
    "MP3, 32 kbit/s": lambda samples, rng: coded(
        samples, "MP3", SAMPLE_RATE, compression_level=0.85, bitrate_mode="CONSTANT"
    )[0],
    "AAC, 32 kbit/s": with_codec("AAC", SAMPLE_RATE, 32),
    "Opus, 12 kbit/s": with_codec("Opus at a bit rate", SAMPLE_RATE, 12),
    "AMR, 12.2 kbit/s": with_codec("AMR", 8000, 12.2),
    "GSM": lambda samples, rng: coded(samples, "GSM 06.10", 8000)[0],
    "telephone": telephone,
    "8 kHz and back": lambda samples, rng: at_rate(samples, 8000),
    "room, 0.5 s": lambda samples, rng: reverberate(samples, 0.5, 6.0, rng),
    "noise, 10 dB": lambda samples, rng: add_noise(samples, 10.0, 3.0, rng),
    "noise, 20 dB": lambda samples, rng: add_noise(samples, 20.0, 3.0, rng),
    "music, 20 dB": behind("music", 20.0),
    "hum, 20 dB": behind("hum", 20.0),
    "clicks, 20 dB": behind("clicks", 20.0),
    "5 % of packets lost": lambda samples, rng: lose_packets(samples, 0.05, rng),
    "12 dB louder": lambda samples, rng: np.clip(samples * 10 ** (12 / 20), -1, 1),
    "12 dB quieter": lambda samples, rng: samples * 10 ** (-12 / 20),
    "first 2 s only": lambda samples, rng: samples[: 2 * SAMPLE_RATE],
}


def some(clips: Sequence[Clip], label: str, count: int) -> list[Clip]:
    """Choose clips of a class, evenly over sources."""
    rng = np.random.default_rng(0)
    members = [clip for clip in clips if clip.label == label]
    turns: dict[str, int] = defaultdict(int)
    order = []
    for clip in (members[i] for i in rng.permutation(len(members))):
        order.append((turns[clip.source], len(order), clip))
        turns[clip.source] += 1
    return [clip for *_, clip in sorted(order, key=lambda row: row[:2])[:count]]


def through(clips: Sequence[Clip], channel: Channel, detector: Detector) -> tuple[np.ndarray, list[str]]:
    """Return the probability of not being Real, and the verdict, of every clip behind a channel."""
    scores, verdicts = [], []
    for number, clip in enumerate(clips):
        samples = channel(read_audio(clip.path), np.random.default_rng(number))
        samples = quantise(np.clip(np.asarray(samples, dtype=np.float32), -1.0, 1.0))
        answer = detector.judge(samples, SAMPLE_RATE)
        scores.append(1.0 - answer.probabilities["Real"])
        verdicts.append(answer.verdict)
    return np.array(scores), verdicts


def channels(clips: Sequence[Clip], detector: Detector, count: int) -> None:
    """Print the table of channels."""
    from deepfake_audio.evaluation.metrics import equal_error_rate

    chosen = some(clips, "Real", count) + some(clips, "Fake", count)
    fake = np.array([clip.label == "Fake" for clip in chosen])
    print(f"{np.sum(~fake)} real and {np.sum(fake)} fake clips of {len({clip.source for clip in chosen})} sources\n")
    print("| channel | EER Real/Fake | rise in points | verdicts changed | real called Fake or Hybrid |")
    print("|---|---|---|---|---|")
    bar, before, base = console.progress("Channels"), [], 0.0
    for number, (name, channel) in enumerate(CHANNELS.items(), start=1):
        scores, verdicts = through(chosen, channel, detector)
        rate = 100 * equal_error_rate(fake, scores)
        before, base = before or verdicts, base or rate  # the first channel is none
        changed = 100 * np.mean([now != then for now, then in zip(verdicts, before, strict=True)])
        accused = 100 * np.mean([verdict in ACCUSING for verdict in np.array(verdicts)[~fake]])
        print(f"| {name} | {rate:.1f} % | {rate - base:+.1f} | {changed:.0f} % | {accused:.1f} % |", flush=True)
        bar(number, len(CHANNELS))


def lengths(clips: Sequence[Clip], detector: Detector, seconds: Sequence[float], one_voice: bool) -> None:
    """Print the table of lengths: each voice, or one of each source, as recordings of that length."""
    voices: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.label == "Real":
            voices[clip.source, clip.speaker].append(clip)
    if one_voice:  # the one with the most clips
        voices = {(key[0], ""): members for key, members in sorted(voices.items(), key=lambda row: len(row[1]))}
    print(f"{sum(map(len, voices.values()))} real clips of {len(voices)} sources and voices\n")
    print("| length | recordings | called Fake or Hybrid | Uncertain | seconds called fake per hour |")
    print("|---|---|---|---|---|")
    for length in seconds:
        verdicts, fake_seconds = [], 0.0
        for number, members in enumerate(voices.values()):
            rng = np.random.default_rng(number)
            parts, total = [], 0
            while total < length * SAMPLE_RATE:
                for index in rng.permutation(len(members)):
                    parts.append(read_audio(members[index].path))
                    total += len(parts[-1])
            answer = detector.judge(np.concatenate(parts)[: round(length * SAMPLE_RATE)], SAMPLE_RATE)
            verdicts.append(answer.verdict)
            fake_seconds += answer.fake_seconds
        accused, unsure = (100 * np.mean([v in names for v in verdicts]) for names in (ACCUSING, ("Uncertain",)))
        per_hour = 3600 * fake_seconds / (length * len(verdicts))
        print(f"| {length:g} s | {len(verdicts)} | {accused:.1f} % | {unsure:.1f} % | {per_hour:.0f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="checkpoint (default: the bundled model)")
    parser.add_argument("--clips", type=int, default=200, help="clips of each class")
    parser.add_argument("--lengths", type=float, nargs="+", metavar="SECONDS", help="judge real speech so long")
    parser.add_argument("--one-voice", action="store_true", help="of each source, for --lengths: long ones take long")
    arguments = parser.parse_args()
    detector = Detector(arguments.model or HERE / "outputs" / "pretrained" / "model.keras")
    clips = [clip for clip in find_clips([arguments.data]) if clip.label in ("Real", "Fake")]
    clips = detector.checkpoint.unseen(clips)
    if arguments.lengths:
        lengths(clips, detector, arguments.lengths, arguments.one_voice)
    else:
        channels(clips, detector, arguments.clips)
    return 0


if __name__ == "__main__":
    sys.exit(main())
