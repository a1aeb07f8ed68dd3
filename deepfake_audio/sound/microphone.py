"""A live voice: which microphones there are, what they hear, and what the detector makes of it while it listens.

Sound is taken at the device's own rate and resampled here, since many devices refuse 16 kHz. sounddevice is imported
only when it is used: without PortAudio everything else works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .. import places
from ..errors import MicrophoneError, OutputError
from ..settings import NO_SPEECH
from ..text import clean
from .level import SILENCE_PEAK
from .reading import quantise

ROLLING_SECONDS = 6.0
"""The live verdict is about so much of the past."""

REFRESH_SECONDS = 1.0
"""Of sound, between two live verdicts."""

MOST_WAITING_SECONDS = 20.0
"""Sound that may wait for a slow computer before it is lost."""

VANISHED_SECONDS = 3.0
"""A device that sends nothing for so long is gone."""

CLIPPED_LEVEL = 0.999
"""Samples from here on were cut off by the device."""

CHARACTERS_PER_SECOND = 2
"""Of the live timeline."""

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
        self.name, self.lost_seconds = clean(about["name"]), 0.0
        self.native_rate = int(about["default_samplerate"])
        self._resampler = None
        if self.native_rate != sample_rate:
            self._resampler = soxr.ResampleStream(self.native_rate, sample_rate, 1, dtype="float32", quality="HQ")
        block = max(1, self.native_rate // 20)
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(int(MOST_WAITING_SECONDS * self.native_rate / block))

        def take(data: np.ndarray, frames: int, _, status) -> None:
            if status.input_overflow:
                self.lost_seconds += frames / self.native_rate  # at least; PortAudio does not say how much
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
            yield quantise(block if self._resampler is None else self._resampler.resample_chunk(block))


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is known while listening: about the last seconds, unless said otherwise.

    Attributes
    ----------
    seconds : float
        Since the beginning.
    peak_db : float
        Loudest sample since the last moment, in dB under full scale.
    judgement : Judgement
        About the last ``ROLLING_SECONDS``.
    troubles : tuple of str
        What is wrong with the sound.
    """

    seconds: float
    peak_db: float
    judgement: object
    troubles: tuple[str, ...]

    def __str__(self) -> str:
        judgement = self.judgement
        filled = round(np.clip((self.peak_db + 60) / 60, 0, 1) * 10)
        meter = f"[{'=' * filled:.<10}]"
        certain = "" if judgement.verdict == NO_SPEECH else f" {judgement.confidence:.2f}"
        line = f"{self.seconds:6.0f} s  {meter} {judgement.verdict + certain:14}  |{timeline_text(judgement)}|"
        return line + "".join(f"  {trouble}" for trouble in self.troubles)


def timeline_text(judgement) -> str:
    """Return a character per half second: ``r`` real, ``F`` fake, ``.`` no speech."""
    count = max(1, round(judgement.seconds * CHARACTERS_PER_SECOND))
    middles = (np.arange(count) + 0.5) / CHARACTERS_PER_SECOND
    signs = {"Real": "r", "Fake": "F", NO_SPEECH: "."}
    return "".join(
        next((signs[s.label] for s in judgement.segments if s.start <= middle < s.end), ".") for middle in middles
    ).rjust(round(ROLLING_SECONDS * CHARACTERS_PER_SECOND))


def listen(
    detector, microphone: Microphone, path: Path, show: Callable[[Moment], None], seconds: float | None = None
) -> MicrophoneError | OutputError | None:
    """Record until Ctrl-C, until the device vanishes, or for some seconds, and judge the last seconds all along.

    Parameters
    ----------
    detector : Detector
        Who judges.
    microphone : Microphone
        What is heard.
    path : Path
        FLAC file that is written while listening, so that whatever happens, what was heard is kept; there is none
        if nothing was, and no folder that is empty then.
    show : callable
        Told once per second of sound.
    seconds : float, optional
        When to stop.

    Returns
    -------
    MicrophoneError, OutputError or None
        Why listening ended early: the device vanished, or the disk is full. What was heard until then is kept.

    Raises
    ------
    OutputError
        If there is no recording because it cannot be written.
    """
    rate = detector.settings.features.sample_rate
    rolling, count, told, peak, clipped, quiet_since = detector.rolling(ROLLING_SECONDS), 0, 0, 0.0, 0, 0
    lost = 0.0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16", format="FLAC") as file:
            for piece in microphone.pieces():
                if seconds is not None:
                    piece = piece[: round(seconds * rate) - count]
                file.write(piece)
                count += len(piece)
                rolling.push(piece)
                peak = max(peak, float(np.abs(piece).max(initial=0.0)))
                clipped += int((np.abs(piece) >= CLIPPED_LEVEL).sum())
                over = seconds is not None and count >= round(seconds * rate)
                if count and (over or count - told >= REFRESH_SECONDS * rate):
                    if peak >= SILENCE_PEAK:
                        quiet_since = count
                    troubles = _troubles(
                        microphone, (count - quiet_since) / rate, clipped, microphone.lost_seconds - lost
                    )
                    level = 20 * np.log10(max(peak, 1e-5))
                    show(Moment(count / rate, float(level), rolling.judge(), troubles))
                    told, peak, clipped, lost = count, 0.0, 0, microphone.lost_seconds
                if over:
                    break
    except KeyboardInterrupt:
        pass
    except MicrophoneError as error:
        return error
    except (OSError, soundfile.SoundFileError) as error:
        # libsndfile itself does not say why a disk refuses.
        if count and path.is_file():
            return OutputError(
                f"'{path}' cannot be written any further ({error}): make room, or give --outputs on another disk."
            )
        raise OutputError(f"'{path}' cannot be written ({error}): give --outputs on another disk.") from error
    finally:
        if not count:
            with contextlib.suppress(OSError):  # what is gone, or somebody else's by now, stays so
                path.unlink(missing_ok=True)
                path.parent.rmdir()
    if count and not path.is_file():
        raise OutputError(f"'{path}' was removed while it was written: listen again.")
    return None


def _troubles(microphone: Microphone, quiet_seconds: float, clipped: int, lost_seconds: float) -> tuple[str, ...]:
    troubles = []
    if quiet_seconds >= 3:
        troubles.append("silent: is it muted?")
    if clipped > 2:
        troubles.append("clipped: lower the input level")
    if lost_seconds:
        troubles.append(f"{lost_seconds:.1f} s lost: close other programs")
    elif microphone.waiting_seconds() > 1.5:
        troubles.append(f"{microphone.waiting_seconds():.0f} s behind: close other programs")
    return tuple(troubles)


def warm_up(detector) -> None:
    """Let the network see windows once: the first answer takes far longer than the others."""
    rate = detector.settings.features.sample_rate
    noise = np.random.default_rng(0).normal(0, 0.1, round(ROLLING_SECONDS * rate)).astype(np.float32)
    started = time.monotonic()
    for length in (1.0, ROLLING_SECONDS / 2, ROLLING_SECONDS):
        detector.judge(noise[: round(length * rate)])
        if time.monotonic() - started > 20:
            return
