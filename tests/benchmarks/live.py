"""How long after the words does the live verdict stand on the screen? Words with a known beginning, fed in real time.

    python tests/benchmarks/live.py [--model outputs/RUN/model.keras] [--trials 7]

The microphone is a pretended one that sends blocks at the pace of a clock; all behind it is what listens in earnest:
resampling, recording, judging, the printed line. Silence comes first, then a starter clip, whose beginning shifts
from trial to trial against the second at which the line is refreshed. The words that are needed end when there is
enough speech for a verdict; measured is from then until the first line is printed that does not say No speech.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

NATIVE_RATE = 48_000
BLOCK_SECONDS = 0.05
LIMIT_SECONDS = 1.5


class ClockedDevice:
    """Stand-in for the module sounddevice: one microphone that hears `samples` at the pace of a clock."""

    PortAudioError = RuntimeError
    default = types.SimpleNamespace(device=(0, 0))

    def __init__(self):
        self.samples, self.started = np.zeros(0, dtype=np.float32), 0.0

    def query_devices(self, device=None, kind=None):
        about = {"name": "pretended", "max_input_channels": 1, "default_samplerate": float(NATIVE_RATE)}
        return [about] if kind is None else about

    def InputStream(self, callback, blocksize, **_):  # noqa: N802 - sounddevice's name
        stopped = threading.Event()
        blocks = np.split(self.samples, range(blocksize, len(self.samples), blocksize))
        status = types.SimpleNamespace(input_overflow=False)

        def send() -> None:
            self.started = time.monotonic()
            for number, block in enumerate(blocks, 1):
                # A block is handed over when its last sample was heard.
                if stopped.wait(max(0.0, self.started + number * blocksize / NATIVE_RATE - time.monotonic())):
                    return
                callback(block[:, np.newaxis], len(block), None, status)

        thread = threading.Thread(target=send, daemon=True)
        return types.SimpleNamespace(start=thread.start, close=stopped.set)


def spoken_words(rate: int) -> np.ndarray:
    """Return the first starter clip of four seconds, from its first word on."""
    import librosa

    from deepfake_audio.sound.reading import read_audio

    for path in sorted((HERE / "data" / "starter" / "real").rglob("*.flac")):
        samples, _ = librosa.effects.trim(read_audio(path, rate), top_db=30)
        if len(samples) >= 4 * rate:
            return samples[: 4 * rate]
    raise SystemExit("data/starter holds no clip of four seconds")


def words_needed(samples: np.ndarray, rate: int, onset: float, least_speech_seconds: float) -> float:
    """Return when there has been enough speech for a verdict, in seconds."""
    from deepfake_audio.features.speech import speech_seconds

    ends = np.arange(onset + least_speech_seconds / 2, len(samples) / rate, 0.01)
    return next(end for end in ends if speech_seconds(samples[: round(end * rate)], rate) >= least_speech_seconds)


def one_trial(detector, device: ClockedDevice, onset: float, words: np.ndarray) -> tuple[float, float]:
    """Return the seconds from the end of the words needed to the line, and those that judging takes of them."""
    import soxr

    from deepfake_audio import console
    from deepfake_audio.answers import live
    from deepfake_audio.settings import NO_SPEECH
    from deepfake_audio.sound.microphone import Microphone

    rate = detector.settings.features.sample_rate
    samples = np.concatenate([np.zeros(round(onset * rate), dtype=np.float32), words])
    needed = words_needed(samples, rate, onset, detector.settings.decision.least_speech_seconds)
    device.samples = soxr.resample(samples, rate, NATIVE_RATE).astype(np.float32)
    printed, write = [], console.live_line()

    def show(moment: live.Moment) -> None:
        write(moment)
        if moment.judgement.verdict != NO_SPEECH:
            printed.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder, Microphone(None, rate) as source:
        live.listen(detector, source, Path(folder) / "recording.flac", show, onset + 3.5)
    started = time.monotonic()
    detector.judge(samples[-round(live.ROLLING_SECONDS * rate) :], rate)
    return printed[0] - (device.started + needed), time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "outputs" / "pretrained" / "model.keras")
    parser.add_argument("--trials", type=int, default=7)
    arguments = parser.parse_args()
    sys.modules["sounddevice"] = device = ClockedDevice()
    from deepfake_audio import Detector
    from deepfake_audio.answers.live import warm_up

    detector = Detector(arguments.model)
    warm_up(detector)
    words = spoken_words(detector.settings.features.sample_rate)
    found = [one_trial(detector, device, 2 + n / arguments.trials, words) for n in range(arguments.trials)]
    late, judging = zip(*found, strict=True)
    print("\n| trials | words to line, median | fastest to slowest | of it judging, median | limit |")
    print("|---|---|---|---|---|")
    print(
        f"| {len(late)} | {statistics.median(late):.2f} s | {min(late):.2f} to {max(late):.2f} s "
        f"| {statistics.median(judging):.2f} s | {LIMIT_SECONDS} s |"
    )
    return 0 if max(late) < LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
