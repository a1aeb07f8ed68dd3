"""Any recording -> mono float32 at one rate, on the 16-bit grid: the only decode path of the project.

Training, splicing and judging all read through :func:`read_audio`, so that no class can be told by the way its files
came in: decode, mix down, resample (always soxr), quantise. libsndfile opens what it knows, by content and not by
suffix; everything else goes through the ffmpeg binary inside the imageio-ffmpeg wheel, so that nothing has to be
installed besides the Python packages. Both decode in processes of their own: a file that makes one crash or hang is
answered with a sentence.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..errors import AudioError
from ..files import atomic_path
from ..settings import SAMPLE_RATE
from . import decoders, ffmpeg
from .channels import ChannelMeter
from .level import COARSE_STEPS, LOUDEST, OVERSHOOT, QUIET_PEAK, SILENCE_PEAK, Dither, Level, describe_level, grid_step
from .sources import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS, Samples

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au",
    ".snd", ".caf", ".sph", ".nist", ".m4a", ".m4b", ".aac", ".ac3", ".wma", ".amr", ".awb", ".ape", ".wv", ".tta",
    ".webm", ".weba", ".mka", ".mkv", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".avi", ".flv", ".3ga", ".mpga", ".mpeg",
    ".mpg", ".wmv", ".voc",
})
# fmt: on
"""Lower-case suffixes that are looked for in folders; a file that is named by the user may have any."""

FULL_SCALE = 32_768
"""Steps of the 16-bit grid from zero to 1.0."""

HELD_BLOCKS = 4
"""Decoded blocks that are kept until it is known how loud a recording is; of more, it is decoded again."""

LONGEST_SECONDS = 4 * 3600.0
"""What is read in one piece is no longer than this: half a gigabyte per hour is needed on the way to its features."""


def read_audio(path: str | os.PathLike, sample_rate: int = SAMPLE_RATE, notes: list[str] | None = None) -> np.ndarray:
    """Read any recording, or the first sound track of a video.

    Parameters
    ----------
    path
        WAV, FLAC, OGG, Opus, MP3, AIFF, AU, M4A, AAC, WMA, AMR, WebM, MP4 and others, recognised by content.
    sample_rate
        Rate of the result in Hz.
    notes
        Grows by a sentence for everything that a reader of the verdict should know about how the file was read.

    Returns
    -------
    np.ndarray, shape (samples,), float32
        Mean of all channels in -1..1, every value a whole multiple of 1/32768. Silence is not an error here.

    Raises
    ------
    AudioError
        When the file is missing, empty, damaged, not audio, longer than ``LONGEST_SECONDS``, or holds samples that
        are not numbers.
    """
    pieces, room = [], round(LONGEST_SECONDS * sample_rate)
    try:
        with contextlib.closing(stream_audio(path, sample_rate, notes)) as stream:
            for piece in stream:
                pieces.append(piece)
                room -= len(piece)
                if room < 0:
                    raise AudioError(f"'{path}' is longer than {LONGEST_SECONDS / 3600:g} hours: cut it into parts.")
        return np.concatenate(pieces)
    except MemoryError as error:
        raise AudioError(f"'{path}' does not fit into memory: cut it into shorter recordings.") from error


def stream_audio(
    path: str | os.PathLike | Samples,
    sample_rate: int = SAMPLE_RATE,
    notes: list[str] | None = None,
    channel: int | None = None,
    meter: ChannelMeter | None = None,
) -> Iterator[np.ndarray]:
    """Read any recording piece by piece; the pieces in a row are what :func:`read_audio` returns.

    Parameters
    ----------
    path, sample_rate, notes
        As for :func:`read_audio`; samples in memory take the same way.
    channel
        The one that is wanted, from 0; without it, the mean of all.
    meter
        Shown all channels.

    Yields
    ------
    np.ndarray, shape (samples,), float32
        Some seconds or minutes of the recording, never none.

    Raises
    ------
    AudioError
        As :func:`read_audio` does, possibly after some pieces.
    """
    if not isinstance(path, Samples):
        path = Path(path)
        _check_file(path)
    resampler, any_samples = None, False
    with contextlib.closing(_decode_scaled(path, [] if notes is None else notes)) as decoded:
        for rate, channels in decoded:
            if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
                raise AudioError(
                    f"'{path}' claims a sample rate of {rate} Hz, so its header is damaged: export it again."
                )
            samples = _mix_down(channels if channel is None else channels[:, channel : channel + 1])
            if not (np.abs(samples) <= LOUDEST).all():
                raise AudioError(
                    f"'{path}' holds samples that are NaN or infinite, or nearly: export it again as 16-bit audio."
                )
            if meter is not None:
                meter.push(rate, channels)
            if channels.shape[1] > MOST_CHANNELS and notes is not None and not any_samples:
                notes.append(f"It has {channels.shape[1]} channels, which were mixed: split them to judge each.")
            resampler = resampler or Resampler(rate, sample_rate)
            if len(samples := resampler.push(samples)):
                any_samples = True
                yield samples
    if resampler is not None and len(samples := resampler.finish()):
        any_samples = True
        yield samples
    if not any_samples:
        raise AudioError(f"'{path}' holds no samples: record or export it again.")


class Resampler:
    """Turns sound that comes in pieces into that of another rate, by soxr, on the 16-bit grid.

    Parameters
    ----------
    rate, wanted : int
        In Hz; where they are the same, samples pass.
    """

    def __init__(self, rate: int, wanted: int):
        self._soxr = None if rate == wanted else soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")

    def push(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples, shape (samples,), and return those that are ready, perhaps none."""
        return quantise(samples if self._soxr is None else self._soxr.resample_chunk(samples, last=last))

    def finish(self) -> np.ndarray:
        """Return what is left."""
        return self.push(np.zeros(0, dtype=np.float32), last=True)


def write_flac(path: str | os.PathLike, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write a mono 16-bit FLAC file, whole or not at all; :func:`read_audio` gives back ``quantise(samples)`` exactly.

    Parameters
    ----------
    path
        Where the file goes; missing folders are made.
    samples
        Shape (samples,), floating point, full scale at -1..1; what lies outside is clipped.
    sample_rate
        In Hz.

    Raises
    ------
    AudioError
        When the file cannot be written, or there is nothing to write.
    ValueError
        When `samples` is not a 1-D array of finite floating-point numbers.
    """
    path = Path(path)
    values = to_int16(samples)
    if values.ndim != 1:
        raise ValueError(f"samples must have the shape (samples,), not {values.shape}")
    if not len(values):
        raise AudioError(f"'{path}' was not written because there are no samples: record for longer.")
    try:
        # libsndfile itself does not say why a disk refuses.
        encoded = io.BytesIO()
        soundfile.write(encoded, values, sample_rate, format="FLAC", subtype="PCM_16")
        with atomic_path(path) as temporary:
            temporary.write_bytes(encoded.getvalue())
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", None) or error
        raise AudioError(
            f"'{path}' cannot be written ({reason}): choose another folder, or make room and close programs using it."
        ) from error


def quantise(samples: np.ndarray) -> np.ndarray:
    """Round samples with full scale -1..1, of any shape, to the 16-bit grid, and clip them to -1..32767/32768.

    Clips of every class end up on the same grid, whatever they were made from; otherwise a network could learn that
    fakes were 32-bit float files. Applying it twice changes nothing.

    Raises
    ------
    ValueError
        When they are not floating point, or not finite.
    """
    return from_int16(to_int16(samples))


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Turn samples with full scale -1..1 into 16-bit whole numbers, as pydub wants them; see :func:`quantise`."""
    samples = np.asarray(samples)
    if samples.dtype.kind != "f":
        raise ValueError(f"samples must be floating point in -1..1, not {samples.dtype}")
    if not np.isfinite(samples).all():
        raise ValueError("samples must be finite, but some are NaN or infinite")
    return np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_int16(values: np.ndarray) -> np.ndarray:
    """Turn 16-bit whole numbers into float32 samples in -1..1: the exact inverse of :func:`to_int16`."""
    values = np.asarray(values)
    if values.dtype != np.int16:
        raise ValueError(f"values must be int16, not {values.dtype}")
    return values.astype(np.float32) / FULL_SCALE


def _check_file(path: Path) -> None:
    """Refuse what is no readable file with content, in words that neither decoder would find."""
    try:
        if path.is_dir():
            raise AudioError(f"'{path}' is a folder: name one of the recordings in it.")
        if not path.exists():
            raise AudioError(f"'{path}' does not exist: check the spelling and the folder.")
        if not path.is_file():
            raise AudioError(f"'{path}' is not a regular file: save the recording to disk first.")
        if not path.stat().st_size:
            raise AudioError(f"'{path}' is empty (0 bytes): copy or export it again.")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        # ValueError is what Python makes of a zero byte inside a name.
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{str(path)!r} cannot be opened ({reason}): check its name and permissions.") from error


def about_audio(path: str | os.PathLike) -> dict | None:
    """Return what a header says, as :class:`deepfake_audio.sound.decoders.Recording` does; None where nobody knows."""
    try:
        with decoders.Recording(Path(path), decode=False) as recording:
            return recording.header
    except decoders.DecoderLost:
        return None


def _decode_scaled(path: Path | Samples, notes: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield native rate and blocks, scaled where the samples lie beyond full scale or are hardly there.

    Only float samples can be too loud anywhere; of all others, the first block with sound in it tells.
    """
    with contextlib.closing(_decode(path, notes)) as decoded:
        held, count, level, step = [], 0, None, np.inf
        for rate, block, is_float in decoded:
            level, count = level or Level(rate, np.inf if is_float else QUIET_PEAK), count + 1
            level.push(block)
            step = min(step, grid_step(block)) if step and level.sound_peak <= OVERSHOOT else 0.0
            held = [*held, (rate, block)] if count <= HELD_BLOCKS else []
            if not is_float and level.sound_peak >= QUIET_PEAK and level.peak <= OVERSHOOT:
                break
        if level is None:
            return
        gain = np.float32(level.gain(1.0 if is_float else OVERSHOOT, QUIET_PEAK))
        peak, offset = level.sound_peak, level.offset if level.sound_peak < level.peak else None
        coarse = peak < COARSE_STEPS * step and (gain != 1 or peak >= SILENCE_PEAK)
        if gain != 1 or coarse:
            notes.append(describe_level(level, gain, coarse))
        dither = Dither(step) if coarse else None
        if count > HELD_BLOCKS:
            decoded.close()  # its decoder is the one that is needed
        more: list[str] = []
        with contextlib.closing(_decode(path, more) if count > HELD_BLOCKS else decoded) as again:
            while held:
                rate, block = held.pop(0)
                yield rate, _scaled(block, gain, offset, dither)
            for rate, block, _ in again:
                yield rate, _scaled(block, gain, offset, dither)
        notes += [note for note in more if note not in notes]


def _scaled(block: np.ndarray, gain: np.float32, offset: np.ndarray | None, dither: Dither | None) -> np.ndarray:
    block = dither.add(block) if dither else block
    if offset is not None:  # a resampler would spread a click that goes on being a thousand times too loud
        return np.clip((block - offset) * gain, -1, 1)
    return block if gain == 1 else block * gain


def _decode(path: Path | Samples, notes: list[str]) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Yield native rate, blocks of shape (frames, channels), and whether its samples are floats in the file."""
    if isinstance(path, Samples):
        size = max(1, decoders.BLOCK_VALUES // path.values.shape[1])
        for start in range(0, len(path.values), size):
            yield path.sample_rate, path.values[start : start + size], path.is_float
        return
    try:
        with decoders.Recording(path) as recording:
            header = recording.header
            if header is not None:
                notes += header["notes"]
                for block in recording.blocks():
                    yield header["samplerate"], block, header["subtype"] in ("FLOAT", "DOUBLE")
    except decoders.DecoderLost as lost:
        raise AudioError(f"'{path}' {lost}.") from lost
    except ValueError as error:
        raise AudioError(
            f"'{path}' is damaged or cut short ({header['format']} decoding failed): copy or export it again."
        ) from error
    if header is None:
        for rate, block in ffmpeg.decode(path, notes):
            yield rate, block, False


def _mix_down(block: np.ndarray) -> np.ndarray:
    """Mean over the channels of a block of shape (frames, channels)."""
    # Infinite samples are refused later, with a sentence; numpy need not warn about their mean.
    with np.errstate(invalid="ignore", over="ignore"):
        return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
