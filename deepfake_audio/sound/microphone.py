"""Which microphones there are, and what they hear.

Sound is taken at the device's own rate and resampled here, since many devices refuse 16 kHz. sounddevice is imported
only when it is used: without PortAudio everything else works.
"""

from __future__ import annotations

import contextlib
import queue
import sys
from collections.abc import Iterator

import numpy as np

from .. import places
from ..errors import MicrophoneError
from ..text import clean
from .channels import ChannelMeter
from .reading import Resampler

MOST_WAITING_SECONDS = 20.0
"""Sound that may wait for a slow computer before it is lost."""

VANISHED_SECONDS = 3.0
"""A device that sends nothing for so long is gone."""

ALLOW = {
    "win32": "open Settings > Privacy & security > Microphone and let desktop apps use it",
    "darwin": "open System Settings > Privacy & Security > Microphone and allow your terminal",
    "linux": "see whether 'arecord -l' lists it and whether the sound settings mute it",
}
INSTALL = {
    "win32": "run 'pip install --force-reinstall sounddevice'",
    "darwin": "run 'pip install --force-reinstall sounddevice'",
    "linux": "run 'sudo apt install libportaudio2' (Fedora: 'sudo dnf install portaudio')",
}


def _next_step(steps: dict[str, str]) -> str:
    return steps.get(sys.platform, steps["linux"])


def _sounddevice():
    try:
        import sounddevice
    except ImportError as error:
        raise MicrophoneError(
            f"The microphone needs the package sounddevice: run '{places.how_to_install('mic')}'."
        ) from error
    except OSError as error:
        raise MicrophoneError(f"The microphone needs PortAudio, which is missing: {_next_step(INSTALL)}.") from error
    return sounddevice


def list_devices() -> list[str]:
    """Return a line per device that can record: number, name, channels and rate; the default one has a star.

    Raises
    ------
    MicrophoneError
        If there is none, or PortAudio is missing.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    lines = [
        f"{'*' if number == default else ' '} {number:3}  {clean(device['name'])}  "
        f"({device['max_input_channels']} channels, {device['default_samplerate']:.0f} Hz)"
        for number, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"] > 0
    ]
    if not lines:
        raise MicrophoneError(f"No microphone was found: plug one in, or {_next_step(ALLOW)}.")
    return lines


class Microphone:
    """An open device; a context manager.

    Parameters
    ----------
    device : int, str or None
        Number or part of the name, as in :func:`list_devices`; None for the default one.
    sample_rate : int
        Rate in Hz at which the sound is wanted.

    Attributes
    ----------
    name : str
        Of the device.
    lost_seconds : float
        Sound that was lost because this computer could not keep up.
    channels : ChannelMeter
        Compares the device's channels, which are mixed.

    Raises
    ------
    MicrophoneError
        If it cannot be opened.
    """

    def __init__(self, device: int | str | None, sample_rate: int):
        sounddevice = _sounddevice()
        try:
            about = sounddevice.query_devices(device, "input")
        except (sounddevice.PortAudioError, ValueError) as error:
            if device is not None:
                raise MicrophoneError(
                    f"No microphone is called '{device}': see {places.JUDGE} --list-devices."
                ) from error
            raise MicrophoneError(f"No microphone was found: plug one in, or {_next_step(ALLOW)}.") from error
        self.name, self.lost_seconds, self.channels = clean(about["name"]), 0.0, ChannelMeter()
        self.native_rate = int(about["default_samplerate"])
        self._resampler = Resampler(self.native_rate, sample_rate)
        block = max(1, self.native_rate // 20)
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(int(MOST_WAITING_SECONDS * self.native_rate / block))

        def take(data: np.ndarray, frames: int, _, status) -> None:
            if status.input_overflow:
                self.lost_seconds += frames / self.native_rate  # at least; PortAudio does not say how much
            self.channels.push(self.native_rate, data)
            try:
                self._blocks.put_nowait(data.mean(axis=1))
            except queue.Full:
                self.lost_seconds += frames / self.native_rate

        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.native_rate, device=device, channels=min(2, about["max_input_channels"]),
                blocksize=block, dtype="float32", callback=take,
            )  # fmt: skip
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise MicrophoneError(f"'{self.name}' cannot be opened ({error}): {_next_step(ALLOW)}.") from error

    def __enter__(self) -> Microphone:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the device."""
        with contextlib.suppress(Exception):  # a device that is gone cannot be closed, either
            self._stream.close()

    def waiting_seconds(self) -> float:
        """Return how far whoever takes the pieces is behind."""
        return self._blocks.qsize() / 20

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield sound as it comes, float32, shape (samples,), at the rate that is wanted.

        Raises
        ------
        MicrophoneError
            When the device vanishes.
        """
        while True:
            try:
                block = self._blocks.get(timeout=VANISHED_SECONDS)
            except queue.Empty:
                raise MicrophoneError(
                    f"'{self.name}' stopped sending sound: plug it in again; what was recorded until then is kept."
                ) from None
            yield self._resampler.push(block)
