"""Recordings of days in a megabyte or a few, mostly written packet by packet: no encoder hears the silence first."""

from __future__ import annotations

import argparse
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from common import MODEL, Listener, decoder_mib, peak_mib, progress, table

from deepfake_audio.errors import AudioError
from deepfake_audio.judging import many
from deepfake_audio.sound.reading import read_audio

MINUTES = 90

MOST_MIB = 2048
"""What answering a bomb may take, of the asking process and of a decoder."""

FLAC_RATE, FLAC_BLOCK = 16_000, 65_535
OPUS_PACKET = bytes([0b0001_1011, 2])
"""Two frames of 60 ms of SILK for speech, mono, both of length zero: nothing was sent, so the decoder fills in."""

OPUS_RATE, OPUS_PACKET_SAMPLES, OPUS_PACKETS_PER_PAGE = 48_000, 5_760, 250


def crc_table(polynomial: int, bits: int) -> list[int]:
    """Return the checksums of all bytes, highest bit first."""
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


def crc(data: bytes, table: list[int], bits: int) -> int:
    """Return the checksum of some bytes, highest bit first, beginning with zero."""
    value, mask = 0, (1 << bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> (bits - 8) ^ byte]
    return value


def flac_of_silence(path: Path, hours: float) -> None:
    """Write a mono FLAC of 16 bits whose frames say nothing but "all samples are zero": 15 bytes for 4 s."""
    crc8, crc16 = crc_table(0x07, 8), crc_table(0x8005, 16)
    frames = round(hours * 3600 * FLAC_RATE / FLAC_BLOCK)
    total = frames * FLAC_BLOCK
    packed = FLAC_RATE << 44 | 0 << 41 | 15 << 36 | total  # rate, channels - 1, bits - 1, samples
    about = struct.pack(">HH3s3sQ16s", FLAC_BLOCK, FLAC_BLOCK, b"", b"", packed, b"")  # no sizes, no MD5: not known
    with path.open("wb") as file:
        file.write(b"fLaC" + bytes([0x80]) + len(about).to_bytes(3, "big") + about)
        for number in range(frames):
            # Fixed block size, given below in 16 bits; 16 kHz; mono; 16 bits.
            head = bytes([0xFF, 0xF8, 0x75, 0x08]) + coded(number) + struct.pack(">H", FLAC_BLOCK - 1)
            head += bytes([crc(head, crc8, 8)])
            frame = head + bytes(3)  # a constant subframe, of zero
            file.write(frame + struct.pack(">H", crc(frame, crc16, 16)))


def coded(number: int) -> bytes:
    """Write a frame number as UTF-8 writes a character, surrogates included."""
    return chr(number).encode("utf-8", "surrogatepass")


def opus_of_silence(path: Path, hours: float) -> None:
    """Write a mono Opus in Ogg whose packets hold no sound: 3 bytes for 120 ms, and the decoder fills in."""
    table = crc_table(0x04C11DB7, 32)
    pages = round(hours * 3600 * OPUS_RATE / OPUS_PACKET_SAMPLES / OPUS_PACKETS_PER_PAGE)

    def page(number: int, packets: list[bytes], position: int) -> bytes:
        kind = 2 if number == 0 else 4 if number == pages + 1 else 0  # the first, the last
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, position, 1, number, 0, len(packets))
        body = bytes(map(len, packets)) + b"".join(packets)
        checksum = crc(head + body, table, 32)
        return head[:22] + struct.pack("<I", checksum) + head[26:] + body

    with path.open("wb") as file:
        file.write(page(0, [struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, OPUS_RATE, 0, 0)], 0))
        file.write(page(1, [struct.pack("<8sI4sI", b"OpusTags", 4, b"none", 0)], 0))
        for number in range(1, pages + 1):
            packets = [OPUS_PACKET] * OPUS_PACKETS_PER_PAGE
            file.write(page(number + 1, packets, number * OPUS_PACKETS_PER_PAGE * OPUS_PACKET_SAMPLES))


def alac_of_silence(path: Path, hours: float) -> None:
    """Have ffmpeg write a mono ALAC in MP4: 0.3 MiB for an hour."""
    import imageio_ffmpeg

    silence = ["-f", "lavfi", "-i", f"anullsrc=r={FLAC_RATE}:cl=mono", "-t", str(hours * 3600), "-c:a", "alac"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *silence, path], check=True)


KINDS = {"bomb.flac": flac_of_silence, "bomb.opus": opus_of_silence, "bomb.m4a": alac_of_silence}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hours", type=float, default=100.0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))


def run(arguments: argparse.Namespace) -> bool:
    """Have files answered that unpack to far more than they are; return whether none took more memory than allowed."""
    rows, peaks = [("file", "size", "hours", "answer", "seconds", "peak memory", "of a decoder")], []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.kinds:
            path = Path(folder) / name
            KINDS[name](path, arguments.hours)
            # Judged first: the peak of the process only grows.
            for way, judge in (("judged", scan_one), ("read for training", read_one)):
                started = time.monotonic()
                done = judge(path)
                took = time.monotonic() - started
                size = f"{path.stat().st_size / 2**20:.1f} MiB"
                peaks += [peak_mib(), decoder_mib()]
                memory = (f"{mib:.0f} MiB" for mib in peaks[-2:])
                rows.append((f"{name}, {way}", size, arguments.hours, done, f"{took:.0f}", *memory))
                progress(*rows[-1])
            path.unlink()
    table(rows)
    return max(peaks) <= MOST_MIB


def scan_one(path: Path) -> str:
    """Return what is answered to one recording."""
    result = many.answer(path, Listener(), MODEL).result
    return result["verdict"] or result["error"].replace(str(path), path.name)


def read_one(path: Path) -> str:
    """Return what becomes of a recording in a corpus."""
    try:
        return f"{len(read_audio(path))} samples"
    except AudioError as error:
        return str(error).replace(str(path), path.name)
