"""What libsndfile does not know goes through the ffmpeg binary inside the imageio-ffmpeg wheel."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import AudioError
from . import decoders, kinds, lengths
from .matroska import read_blocks

MEMORY_BYTES = 2**31
"""What one ffmpeg may take: of each piece of it on every system, of all of it on Linux."""

HARMLESS_ERRORS = 3
"""Packets that ffmpeg may refuse in a sound recording, as between files that were joined."""

SAID_BYTES = 2**16

SOUND_TRACK = re.compile(r"^\[info\]   Stream #0:\d+.*: Audio: .*? Hz, ([^,]+)", re.MULTILINE)
CHANGED = re.compile(r"audio parameters changed to .*? Hz, ([^,]+)")
"""What channels are called, of a track and of a part of it."""
MONO = {"mono", "1 channels"}

INCOMPLETE = "Some of it could not be decoded and is missing: convert it to WAV with another program."

MORE_CHANNELS = "Parts of it have more channels than its beginning, which were mixed: split it to judge each."

HEARD = re.compile(r" (\d+) frames decoded;")
HIDDEN_PACKETS = 5
"""At the beginning and the end, which codecs need and nobody shall hear."""
HIDDEN = (
    "Only {:.0%} of the sound in its index can be heard: it was copied in part, cut so that the rest is hidden, or has "
    "false times. 'ffmpeg -ignore_editlist 1 -i RECORDING whole.wav' may bring the rest."
)

# Demuxers that find all their data in the file itself. Playlists and scripts (hls, dash, concat, sdp, image2, ...) are
# left out: a "recording" must not make the decoder open other files.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,nistsphere,ogg,rm,tak,tta,"
    "voc,w64,wav,wv"
)

OFF_SECONDS = 0.1
"""Where packets say when they are to be heard, what comes later than this has silence before it."""

MOST_SILENCE_SECONDS = 4 * 3600.0
"""That packets may leave between them in all; a byte that is damaged makes them leave years."""

LEAP = "Its clock leaps by {:,.1f} hours, which were left out: times behind that count from there."

PIECE_BYTES = 2**20
"""Sound is taken from ffmpeg, and handed on, in pieces of about this size."""


def decode(path: Path, notes: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield native rate and blocks, shape (frames, channels), of the first sound track; ffmpeg does not resample.

    Parameters
    ----------
    path : Path
        Any recording.
    notes : list of str
        Grows by a sentence on what is missing, or not decoded.

    Raises
    ------
    AudioError
        If there is no ffmpeg, or nothing that it can decode.
    """
    name, shape = decoders.name_elsewhere(path.absolute()), None
    with path.open("rb") as file:
        starts, size = lengths.starts(file), file.seek(0, io.SEEK_END)
        packets = lengths.packets_of_mp4(file) if len(starts) == 1 else 0
    for start, end in itertools.pairwise([*starts, size]):
        # The prefix keeps names like "-y.m4a" or "http:x" from being read as options or addresses.
        part = f"subfile,,start,{start},end,{end},,:" if len(starts) > 1 else ""
        try:
            for rate, block in _decode(path, f"{part}file:{name}", shape, packets, notes):
                shape = rate, block.shape[1]
                yield rate, block
        except AudioError:
            if shape is None:
                raise
            notes += [INCOMPLETE] if INCOMPLETE not in notes else []


def _decode(
    path: Path, address: str, shape: tuple[int, int] | None, packets: int, notes: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Do so with one of several files that were joined; those behind the first one get its rate and channels."""
    first = kinds.head(path)
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise AudioError(
            f"'{path}' is in a format that needs ffmpeg, or not audio at all: run 'pip install imageio-ffmpeg', "
            "or convert it to WAV."
        ) from error
    command = [program, "-hide_banner", "-nostdin", "-nostats", "-v", "level+verbose"]
    command += ["-max_alloc", str(MEMORY_BYTES // 4)]
    command += ["-protocol_whitelist", "file,pipe,subfile", "-format_whitelist", DEMUXERS]
    command += ["-copyts", "-start_at_zero"]  # or it closes gaps in MPEG streams
    command += ["-vn", "-sn", "-dn", "-i", address]
    command += ["-ar", str(shape[0]), "-ac", str(shape[1])] if shape else []
    command += ["-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32le", "-f", "matroska", "pipe:1"]
    # Complaints go to a file: a pipe that nobody empties would stop ffmpeg in the middle of a damaged recording.
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows would open a console
            )
        except OSError as error:
            raise AudioError(
                f"'{path}' needs ffmpeg, but '{program}' does not start: run 'pip install --force-reinstall "
                "imageio-ffmpeg', or convert the recording to WAV."
            ) from error
        _limit_memory(process)
        watched, any_sound = _Watched(process), False
        with process:
            try:
                blocks = read_blocks(io.BufferedReader(watched, PIECE_BYTES).read)
                for piece in _pieces(blocks, kinds.is_clocked(first), notes):
                    any_sound = True
                    yield piece
                process.wait()
            except BaseException:  # also when nobody wants the next block
                process.kill()
                raise
        said = _said(complaints)
    if watched.timed_out:
        raise AudioError(
            f"A part of '{path}' was not decoded within {decoders.TIMEOUT_SECONDS:g} s: convert it to WAV first."
        )
    if process.returncode or not any_sound:
        if "matches no streams" in said:
            raise AudioError(f"'{path}' has no sound track: choose a recording with sound.")
        if "moov atom not found" in said:
            raise AudioError(f"'{path}' is cut short (its index is missing), or not audio: copy or record it again.")
        what = kinds.misnamed(first) or "not audio, or damaged beyond reading: choose a recording, or export it as WAV"
        raise AudioError(f"'{path}' is {what}.")
    if "Error during demuxing" in said or said.count("Error submitting packet") > HARMLESS_ERRORS:
        notes += [INCOMPLETE] if INCOMPLETE not in notes else []
    found, mapped, more = said.partition("[info] Stream mapping")
    tracks = SOUND_TRACK.findall(found) if mapped else []
    if len(tracks) > 1:
        notes.append(f"It has {len(tracks)} sound tracks: the first one was judged.")
    if piece[1].shape[1] == 1 and not {*tracks[:1], *CHANGED.findall(more)} <= MONO and MORE_CHANNELS not in notes:
        notes.append(MORE_CHANNELS)
    if (heard := HEARD.search(more)) and int(heard[1]) < 0.98 * packets - HIDDEN_PACKETS:
        notes.append(HIDDEN.format(int(heard[1]) / packets))


def _said(complaints) -> str:
    """Return the beginning and the end of what ffmpeg said; in between, it may complain about every packet."""
    size = complaints.seek(0, 2)
    complaints.seek(0)
    said = complaints.read(SAID_BYTES)
    complaints.seek(max(SAID_BYTES, size - SAID_BYTES))
    return (said + complaints.read()).decode("utf-8", errors="replace")


def _limit_memory(process: subprocess.Popen) -> None:
    """Hold ffmpeg to its memory, where the system lets us."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


class _Watched(io.RawIOBase):
    """What a process writes; only the process is under the clock, not whoever takes it."""

    def __init__(self, process: subprocess.Popen):
        self._process, self.timed_out = process, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        watchdog = threading.Timer(decoders.TIMEOUT_SECONDS, self._stop)
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._process.stdout.readinto(buffer)
        finally:
            watchdog.cancel()

    def _stop(self) -> None:
        self.timed_out = True
        self._process.kill()


def _pieces(
    blocks: Iterable[tuple[int, int, float, bytes]], clocked: bool, notes: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield rate and samples of blocks in a row, with silence where a clock says that nothing is to be heard.

    What comes earlier than the end of what was before, as where a clock begins anew, is heard behind it.
    """
    rate, channels, waiting, size = 0, 1, [], 0
    position, offset, room, left_out = 0, 0.0, MOST_SILENCE_SECONDS, 0.0
    for (rate, channels, seconds, data), following in itertools.pairwise(itertools.chain(blocks, [None])):
        late = seconds - offset - position / rate if clocked else 0.0
        # ffmpeg lets no time come before one that it has written: after a single wrong one its clock stands still.
        goes_on = following is None or following[2] - seconds > len(data) / (8 * channels * rate)
        silence = round(late * rate) if OFF_SECONDS < late <= room and goes_on else 0
        if silence:
            room -= late
        elif abs(late) > OFF_SECONDS:
            offset += late
            left_out += late if late > room else 0.0
        if waiting and (silence or size >= PIECE_BYTES):
            yield rate, _samples(waiting, channels)
            waiting, size = [], 0
        for start in range(0, silence, most := decoders.BLOCK_VALUES // channels):
            yield rate, np.zeros((min(most, silence - start), channels), dtype=np.float32)
        waiting.append(data)
        size += len(data)
        position += silence + len(data) // (4 * channels)
    if waiting:
        yield rate, _samples(waiting, channels)
    notes += [LEAP.format(left_out / 3600)] if left_out else []


def _samples(pieces: Sequence[bytes], channels: int) -> np.ndarray:
    return np.frombuffer(b"".join(pieces), dtype="<f4").astype(np.float32, copy=False).reshape(-1, channels)
