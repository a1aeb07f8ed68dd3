"""script.py with a microphone that hears noise, from half a second after it was opened; the options are script.py's."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from deepfake_audio import early  # noqa: E402 - after the path to it

if __name__ == "__main__":
    early.end_quietly()

import threading  # noqa: E402
import types  # noqa: E402

import numpy as np  # noqa: E402

RATE, BLOCK = 48_000, 2_400


class Stream:
    """What sounddevice calls an InputStream."""

    def __init__(self, callback, **_):
        self.callback, self.closed = callback, threading.Event()
        self.noise = 0.1 * np.random.default_rng(0).normal(size=(RATE, 1)).astype(np.float32).clip(-3, 3)

    def start(self) -> None:
        threading.Thread(target=self.send, daemon=True).start()

    def send(self) -> None:
        wait, at = 0.5, 0
        while not self.closed.wait(wait):
            wait, at = BLOCK / RATE, (at + BLOCK) % RATE
            self.callback(self.noise[at : at + BLOCK], BLOCK, None, types.SimpleNamespace(input_overflow=False))

    def close(self) -> None:
        self.closed.set()


ABOUT = {"name": "pretended", "max_input_channels": 1, "default_samplerate": float(RATE)}

if __name__ == "__main__":
    sys.modules["sounddevice"] = types.SimpleNamespace(
        PortAudioError=OSError,
        InputStream=Stream,
        query_devices=lambda *_: ABOUT,
        default=types.SimpleNamespace(device=(0, 0)),
    )
    import script

    sys.exit(script.main())
