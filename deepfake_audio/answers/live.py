"""A live voice: what the detector makes of it while it listens."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from ..errors import MicrophoneError, OutputError
from ..judging.stream import ROLLING_SECONDS
from ..settings import NO_SPEECH
from ..sound.level import SILENCE_PEAK, LiveDither
from ..sound.microphone import Microphone

REFRESH_SECONDS = 1.0
"""Of sound, between two live verdicts."""

CLIPPED_LEVEL = 0.999
"""Samples from here on were cut off by the device."""

SILENT_SECONDS = 3.0
"""From here on silence, or a voice that is never loud, is remarked."""

CHARACTERS_PER_SECOND = 2
"""Of the live timeline."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is known while listening: about the last seconds, unless said otherwise.

    `seconds` count from the beginning; `peak_db` is the loudest sample since the last moment, in dB under full scale;
    `judgement` is about the last ``ROLLING_SECONDS``; `troubles` say what is wrong with the sound.
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
    path : Path
        FLAC file that is written while listening, so that what was heard is kept, whatever happens; there is none if
        nothing was, and no folder that is empty then.
    show : callable
        Told once per second of sound.

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
    lost, dither = 0.0, LiveDither(rate)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16", format="FLAC") as file:
            for piece in microphone.pieces():
                if seconds is not None:
                    piece = piece[: round(seconds * rate) - count]
                file.write(piece)
                count += len(piece)
                rolling.push(dither.add(piece))
                peak = max(peak, float(np.abs(piece).max(initial=0.0)))
                clipped += int((np.abs(piece) >= CLIPPED_LEVEL).sum())
                over = seconds is not None and count >= round(seconds * rate)
                if count and (over or count - told >= REFRESH_SECONDS * rate):
                    if peak >= SILENCE_PEAK:
                        quiet_since = count
                    silent, so_far = (count - quiet_since) / rate, count / rate if dither.is_needed else 0.0
                    troubles = _troubles(microphone, silent, so_far, clipped, microphone.lost_seconds - lost)
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


def _troubles(
    microphone: Microphone, silent_seconds: float, quiet_seconds: float, clipped: int, lost_seconds: float
) -> tuple[str, ...]:
    troubles = []
    if silent_seconds >= SILENT_SECONDS:
        troubles.append("silent: is it muted?")
    elif quiet_seconds >= SILENT_SECONDS:
        troubles.append("quiet: come closer, or raise the input level")
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
        detector.judge(noise[: round(length * rate)], rate)
        if time.monotonic() - started > 20:
            return
