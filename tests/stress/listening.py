"""A day of microphone, as fast as it goes: memory, the recording, its timeline, a clock that is not exact."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from common import Listener, handles, now_mib, peak_mib, table

from deepfake_audio.answers.live import listen
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound.reading import quantise

MINUTES = 60


class Stopwatch:
    """A microphone at 44.1 kHz that delivers a day as fast as it is taken: phrases, pauses, and noise.

    Parameters
    ----------
    hours : float
        How long it listens by the clock on the wall.
    drift : float
        By how much its own clock is fast, as a share.
    """

    name, native_rate, lost_seconds = "simulated", 44_100, 0.0

    def __init__(self, hours: float, drift: float):
        self.count, self.step = round(hours * 3600), round(self.native_rate * (1 + drift))
        rng = np.random.default_rng(0)
        speech = rng.normal(0.0, 0.05, 60 * self.native_rate) * np.repeat(rng.random(600) < 0.1, self.native_rate // 10)
        minute = (speech + rng.normal(0.0, 1e-4, len(speech))).astype(np.float32)
        self.sound = np.concatenate([minute, minute[: self.step]])
        self.samples = 0

    def waiting_seconds(self) -> float:
        return 0.0

    def pieces(self):
        """Resample and quantise as the real one does; a second by the clock on the wall each."""
        resampler = soxr.ResampleStream(self.native_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        for number in range(self.count):
            at = number * self.step % (60 * self.native_rate)
            piece = quantise(resampler.resample_chunk(self.sound[at : at + self.step]))
            self.samples += len(piece)
            yield piece
        raise KeyboardInterrupt  # which is how listening ends


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--drift", type=float, default=1e-4, help="by how much the clock of the device is fast")
    parser.add_argument("--folder", type=Path, help="where the recording goes: a gigabyte for a day")


def run(arguments: argparse.Namespace) -> bool:
    """Listen and judge the recording; return whether memory stayed and nothing is missing."""
    source, rows, after = Stopwatch(arguments.hours, arguments.drift), [("hour", "memory", "handles")], []

    def show(moment) -> None:
        hour = moment.seconds / 3600
        if hour >= len(after) * arguments.hours / 24 + arguments.hours / 24 - 1e-9:
            after.append(now_mib())
            rows.append((f"{hour:.2f}", f"{after[-1]:.0f} MiB", handles()))

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "recording.flac"
        started = time.monotonic()
        ended = listen(Listener(), source, path, show)
        listened = time.monotonic() - started
        recorded = soundfile.info(path).frames
        judgement = Listener().judge(path)
    table(rows)
    sent = source.count * source.step * SAMPLE_RATE / source.native_rate
    growth = max(after) / after[0]
    frames = len(judgement.frame_probabilities)
    # What the resampler still holds is less than a tenth of a second.
    complete = recorded == source.samples and sent - recorded < SAMPLE_RATE / 10 and frames * 320 >= recorded
    print(
        f"{arguments.hours:g} h in {listened:.0f} s; memory grew by {100 * (growth - 1):.1f} %; {recorded} samples "
        f"recorded of {sent:.0f} sent (the rest is in the resampler) by a clock that is fast by {arguments.drift:.2%}; "
        f"the recording is judged over {judgement.seconds / 3600:.4f} h, timeline of {frames} frames; "
        f"peak memory then {peak_mib():.0f} MiB; ended: {ended or 'by Ctrl-C'}"
    )
    return growth <= 1.05 and complete
