"""Decoded sound in Matroska, as ffmpeg writes it into a pipe: samples, and when they are to be heard."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

RATE, CHANNELS, TIME, SIMPLE_BLOCK, BLOCK = b"\xb5", b"\x9f", b"\xe7", b"\xa3", b"\xa1"
HOLDERS = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe1", b"\x1f\x43\xb6\x75", b"\xa0"
"""Elements that hold others: the segment, tracks, a track, its audio, a cluster and a group of blocks."""


def read_blocks(read: Callable[[int], bytes]) -> Iterator[tuple[int, int, float, bytes]]:
    """Yield rate, channels, time in seconds and samples of each block of the only track.

    Parameters
    ----------
    read : callable
        Returns so many bytes of the stream, fewer only at its end.
    """
    rate = channels = cluster = 0
    while first := read(1):
        kind = first + read(8 - first[0].bit_length())
        if not (size := read(1)):
            return
        more = 8 - size[0].bit_length()
        length = int.from_bytes(size + read(more), "big") - (1 << 7 * (more + 1))  # without the bit that tells its size
        if kind in HOLDERS:
            continue  # what it holds comes next
        data = read(length)
        if kind == RATE:
            rate = round(struct.unpack(">d" if length == 8 else ">f", data)[0])
        elif kind == CHANNELS:
            channels = data[0]
        elif kind == TIME:
            cluster = int.from_bytes(data, "big")
        elif kind in (SIMPLE_BLOCK, BLOCK) and len(data) == length:
            yield rate, channels, (cluster + int.from_bytes(data[1:3], "big", signed=True)) / 1000, data[4:]
