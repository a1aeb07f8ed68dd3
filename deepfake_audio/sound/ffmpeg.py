"""What libsndfile does not know goes through the ffmpeg binary inside the imageio-ffmpeg wheel."""

from __future__ import annotations

import contextlib
import re
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import AudioError
from . import decoders, kinds

MEMORY_BYTES = 2**31
"""What one ffmpeg may take: of each piece of it on every system, of all of it on Linux."""

HARMLESS_ERRORS = 3
"""Packets that ffmpeg may refuse in a sound recording, as between files that were joined."""

SAID_BYTES = 2**16

SOUND_TRACK = re.compile(r"^\[info\]   Stream #0:\d+.*: Audio: ", re.MULTILINE)

INCOMPLETE = "Some of it could not be decoded and is missing: convert it to WAV with another program."

# Demuxers that find all their data in the file itself. Playlists and scripts (hls, dash, concat, sdp, image2, ...) are
# left out: a "recording" must not make the decoder open other files.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,nistsphere,ogg,rm,tak,tta,"
    "voc,w64,wav,wv"
)

# Sun AU: the one float container whose header may leave the length open, which is what a pipe needs.
AU_HEADER = struct.Struct(">4s5I")
AU_FLOAT32 = 6

# Where packets say when they are to be heard, gaps between them are filled with silence. What is off by less than a
# tenth of a second is left alone.
BY_THE_CLOCK = "aresample=async=1:first_pts=0:min_comp=0.1"


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
    first = kinds.head(path)
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise AudioError(
            f"'{path}' is in a format that needs ffmpeg, or not audio at all: run 'pip install imageio-ffmpeg', "
            "or convert it to WAV."
        ) from error
    command = [
        program,
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-v",
        "level+info",
        "-max_alloc",
        str(MEMORY_BYTES // 4),
    ]
    command += ["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS]
    # The prefix keeps names like "-y.m4a" or "http:x" from being read as options or addresses.
    command += ["-vn", "-sn", "-dn", "-i", f"file:{decoders.name_elsewhere(path.absolute())}"]
    command += ["-af", BY_THE_CLOCK] if kinds.is_clocked(first) else []
    command += ["-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
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
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        def in_time(read: Callable[[int], bytes], size: int) -> bytes:
            # Only the decoder is under the clock, not whoever takes its blocks.
            watchdog = threading.Timer(decoders.TIMEOUT_SECONDS, stop)
            watchdog.daemon = True
            watchdog.start()
            try:
                return read(size)
            finally:
                watchdog.cancel()

        with process:
            try:
                layout = _read_au_header(lambda size: in_time(process.stdout.read, size))
                if layout:
                    rate, channels = layout
                    frame_bytes = 4 * channels
                    block_bytes = max(1, decoders.BLOCK_VALUES // channels) * frame_bytes
                    while data := in_time(process.stdout.read, block_bytes):
                        whole = len(data) - len(data) % frame_bytes
                        block = np.frombuffer(data[:whole], dtype=">f4").astype(np.float32).reshape(-1, channels)
                        yield rate, block
                process.wait()
            except BaseException:  # also when nobody wants the next block
                process.kill()
                raise
        said = _said(complaints)
    if timed_out.is_set():
        raise AudioError(
            f"A part of '{path}' was not decoded within {decoders.TIMEOUT_SECONDS:g} s: convert it to WAV first."
        )
    if process.returncode or layout is None:
        if "matches no streams" in said:
            raise AudioError(f"'{path}' has no sound track: choose a recording with sound.")
        if "moov atom not found" in said:
            raise AudioError(f"'{path}' is cut short (its index is missing), or not audio: copy or record it again.")
        what = kinds.misnamed(first) or "not audio, or damaged beyond reading: choose a recording, or export it as WAV"
        raise AudioError(f"'{path}' is {what}.")
    if "Error during demuxing" in said or said.count("Error submitting packet") > HARMLESS_ERRORS:
        notes.append(INCOMPLETE)
    found, mapped, _ = said.partition("[info] Stream mapping")
    if mapped and (tracks := len(SOUND_TRACK.findall(found))) > 1:
        notes.append(f"It has {tracks} sound tracks: the first one was judged.")


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


def _read_au_header(read: Callable[[int], bytes]) -> tuple[int, int] | None:
    """Return rate and channels of a float32 AU stream, or None when ffmpeg gave up before its header."""
    header = read(AU_HEADER.size)
    if len(header) < AU_HEADER.size:
        return None
    magic, offset, _, encoding, rate, channels = AU_HEADER.unpack(header)
    if magic != b".snd" or encoding != AU_FLOAT32 or offset < AU_HEADER.size or not channels:
        return None
    read(offset - AU_HEADER.size)
    return rate, channels
