"""Does a header tell how much sound a file holds? Where it does not, libsndfile would read a part and call it all."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import soundfile

STOPPED = (
    "Its header does not say how long it is, as after a recorder was stopped or a copy cut short: "
    "it was read to the end of the file."
)

CHUNKED = {
    b"RIFF": (12, "<4sI", 2, b"data"),
    b"RIFX": (12, ">4sI", 2, b"data"),
    b"RF64": (12, "<4sI", 2, b"data"),
    b"BW64": (12, "<4sI", 2, b"data"),
    b"FORM": (12, ">4sI", 2, b"SSND"),
    b"caff": (8, ">4sQ", 1, b"data"),
}
"""Where chunks begin, how name and length of one are written, what they are rounded up to, and which holds sound."""

SEARCHED_BYTES = 2**20
PADDING_BYTES = 2**16
"""Zeros behind the sound, at most so many, fill the last block of a disk."""

BEGINNINGS = {
    word: re.compile(pattern, re.DOTALL)
    for word, pattern in (
        (b"RIFF", rb"RIFF.{4}WAVE"),
        (b"RF64", rb"RF64.{4}WAVE"),
        (b"FORM", rb"FORM.{4}AIF[CF]"),
        (b"caff", rb"caff\0\x01\0\0desc"),
        (b".snd", rb"\.snd\0\0.{6}\0\0"),
        (b"fLaC", rb'fLaC[\0\x80]\0\0"'),
        (b"TTA1", rb"TTA1[\1\3]\0.\0"),
        (b"OggS", rb"OggS\0\x02"),
        (b"FLV\x01", rb"FLV\x01[\x04\x05]\0\0\0\x09"),
        (b"0&\xb2u", rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel"),
        (b"\x1aE\xdf\xa3", rb"\x1aE\xdf\xa3(?:[\x80-\xff]|\x01\0{6}.)B[\x82\x86]"),
    )
}
"""Of files of which, where several were joined, only the first would be read, or all of them as if they were one."""

LONGEST_BEGINNING = 16

MOST_JOINED = 1000
"""Files of which one is made; with more, it is taken for a single one."""

FLAC_COUNT, FLAC_COUNT_BITS = slice(18, 26), 36
"""The lowest bits of these bytes count the samples of a FLAC file (STREAMINFO, RFC 9639)."""

MP3_KBITS = {  # by whether it is MPEG 1
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""In Hz, by the two bits of the version: MPEG 1, 2 and 2.5."""


class Mended(io.RawIOBase):
    """A file some of whose bytes read as others.

    Parameters
    ----------
    file : binary file
        Which is not changed.
    patches : dict of int to bytes
        What is read from an offset on.
    """

    def __init__(self, file: BinaryIO, patches: dict[int, bytes]):
        self._file, self._patches = file, patches
        self.seek, self.tell = file.seek, file.tell

    def readinto(self, buffer) -> int:
        """Fill a buffer."""
        start, count = self.tell(), self._file.readinto(buffer)
        for offset, patch in self._patches.items():
            for place, byte in enumerate(patch, offset - start):
                if 0 <= place < count:
                    memoryview(buffer)[place : place + 1] = bytes([byte])
        return count


def patches(file: BinaryIO) -> dict[int, bytes]:
    """Return what to read instead of a length that does not fit the file; nothing where it fits, or there is none.

    Parameters
    ----------
    file : binary file
        Of any format; WAV, RF64, AIFF, CAF and AU have such a length.
    """
    magic, size = file.read(4), file.seek(0, io.SEEK_END)
    if magic == b".snd":
        file.seek(4)
        start, stated = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
        return {} if start + stated == size else {8: struct.pack(">I", min(max(0, size - start), 2**32 - 1))}
    if magic not in CHUNKED:
        return {}
    at, pattern, _, sound = CHUNKED[magic]
    long_lengths = None  # of RF64, which has them in a chunk of its own
    for start, name, stated in _chunks(file, at, size, magic):
        if name == b"ds64":
            file.seek(start)
            long_lengths = start, *struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if name != sound:
            continue
        if long_lengths and stated == 2**32 - 1:
            stated = long_lengths[2]
        if _ends_well(file, start, stated, size, magic):
            return {}
        if long_lengths:
            return {long_lengths[0]: struct.pack("<QQ", size - 8, size - start), start - 4: b"\xff" * 4}
        length = pattern.replace("4s", "")
        return {start - struct.calcsize(length): struct.pack(length, min(size - start, 2**32 - 1))}
    return {}


def _chunks(file: BinaryIO, at: int, size: int, magic: bytes):
    """Yield where the content of each chunk begins, its name and the length that it states."""
    _, pattern, rounded_to, _ = CHUNKED[magic]
    head = struct.calcsize(pattern)
    while at + head <= size:
        file.seek(at)
        name, stated = struct.unpack(pattern, file.read(head))
        yield at + head, name, stated
        at += head + stated + -stated % rounded_to


def _ends_well(file: BinaryIO, start: int, stated: int, size: int, magic: bytes) -> bool:
    """Return whether sound of this length ends with the file, or before chunks, tags or padding that do."""
    end = start + stated + -stated % CHUNKED[magic][2]
    if end > size + 1:
        return False
    file.seek(end)
    rest = file.read(PADDING_BYTES)
    if not rest.strip(b"\0"):
        return size - end < PADDING_BYTES and (stated > 0 or not rest)
    if rest.startswith((b"TAG", b"ID3")):
        return True
    for content, name, length in _chunks(file, end, size, magic):
        if name in CHUNKED or not name.isascii() or not name.decode("ascii").isprintable():
            return False
        end = content + length
    return abs(end - size) <= 1


def counts_all(file: BinaryIO, kind: str) -> bool:
    """Return whether the length in a header, if it has one, is that of all the sound in a file.

    Parameters
    ----------
    file : binary file
        From its beginning on.
    kind : str
        ``MP3``, ``FLAC`` or ``OGG``; of anything else it is taken for granted.
    """
    if kind == "MP3":
        return _counts_all_mp3(file)
    if kind not in ("FLAC", "OGG"):
        return True
    return len(starts(file)) == 1 and (kind == "OGG" or _counts_all_flac(file))


def starts(file: BinaryIO) -> list[int]:
    """Return where a file begins, and each other one of its kind that was joined to it."""
    file.seek(0)
    head = file.read(16)
    if head[4:8] == b"ftyp":
        return _starts_of_mp4(file)
    beginning, is_ogg = BEGINNINGS.get(head[:4]), head.startswith(b"OggS")
    found, last, at, kept = [0], 0, 0, b""
    while beginning:
        file.seek(at + len(kept))
        data = kept + file.read(SEARCHED_BYTES)
        if data == kept:
            break
        for place in [at + match.start() for match in beginning.finditer(data)]:
            if place > last:
                # Tracks of one Ogg file begin in a row.
                found += [] if is_ogg and place == _end_of_ogg_page(file, last) else [place]
                last = place
        kept = data[1 - LONGEST_BEGINNING :]
        at += len(data) - len(kept)
    return found if len(found) <= MOST_JOINED else [0]


def _end_of_ogg_page(file: BinaryIO, at: int) -> int:
    file.seek(at)
    head = file.read(27 + 255)
    return at + 27 + head[26] + sum(head[27 : 27 + head[26]]) if len(head) > 26 else 0


def _starts_of_mp4(file: BinaryIO) -> list[int]:
    boxes = _boxes(file, 0, file.seek(0, io.SEEK_END))
    found = [start for start, name, *_ in boxes if name == b"ftyp"]
    return found if len(found) <= MOST_JOINED else [0]


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield where each box of an MP4 file, or in a box of it, begins, its name, and where its content is."""
    while at + 8 <= end:
        file.seek(at)
        length, name, longer = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        size = max(longer, 16) if length == 1 else max(length, 8) if length else end - at
        yield at, name, at + (16 if length == 1 else 8), min(at + size, end)
        at += size


def packets_of_mp4(file: BinaryIO) -> int:
    """Return how many packets the index of an MP4 file has for its first sound track; 0 where it does not say so."""

    def inside(at: int, end: int, *names: bytes) -> Iterator[tuple[int, int]]:
        for _, name, *content in _boxes(file, at, end):
            if name == names[0]:
                yield from inside(*content, *names[1:]) if names[1:] else [tuple(content)]

    file.seek(4)
    size = file.seek(0, io.SEEK_END) if file.read(4) == b"ftyp" else 0
    for media in inside(0, size, b"moov", b"trak", b"mdia"):
        kinds, sizes = ([*inside(*media, *names)] for names in ((b"hdlr",), (b"minf", b"stbl", b"stsz")))
        file.seek(kinds[0][0] + 8 if kinds else 0)
        if sizes and file.read(4) == b"soun":
            file.seek(sizes[0][0] + 4)
            size, count = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            return 0 if size else count  # what has one size are samples
    return 0


def _counts_all_flac(file: BinaryIO) -> bool:
    """Return whether a decoder that is told of more samples than the header counts finds no more."""
    file.seek(0)
    head = file.read(FLAC_COUNT.stop)
    if not head.startswith(b"fLaC"):
        return True  # there are other tags before it
    packed = int.from_bytes(head[FLAC_COUNT], "big")
    counted = packed % 2**FLAC_COUNT_BITS
    raised = Mended(file, {FLAC_COUNT.start: (packed + 1).to_bytes(len(head[FLAC_COUNT]), "big")})
    file.seek(0)
    with soundfile.SoundFile(raised) as sound:
        try:
            sound.seek(counted)
            return len(sound.read(1)) == 0
        except soundfile.SoundFileError:
            return True  # there is not one more, or less than the header counts, which decoding tells


def _counts_all_mp3(file: BinaryIO) -> bool:
    """Return whether the first frame counts all the others; those of many encoders do not."""
    size, at = file.seek(0, io.SEEK_END), 0
    stated, frames = None, 0
    while at < size:
        file.seek(at)
        head = file.read(32)
        if head.startswith(b"ID3"):
            at += 10 + int("".join(f"{byte:07b}" for byte in head[6:10]), 2) + (10 if head[5] & 0x10 else 0)
        elif head.startswith(b"TAG"):
            at += 128
        elif head.startswith(b"APETAGEX"):
            at += 32 + int.from_bytes(head[12:16], "little")
        elif not (length := mp3_frame_bytes(head)):
            return False
        else:
            at += length
            if stated is None:
                file.seek(at - length)
                stated = _stated_mp3_frames(file.read(length))
                if not stated:
                    return False
            else:
                frames += 1
    return stated == frames


def mp3_frame_bytes(head: bytes) -> int:
    """Return the length of a frame that begins like this; 0 where none does."""
    word = int.from_bytes(head[:4], "big")
    version, kbits, rate = word >> 19 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or word >> 17 & 3 != 1 or version == 1 or kbits in (0, 15) or rate == 3:
        return 0
    samples = 1152 if version == 3 else 576
    return samples * 125 * MP3_KBITS[version == 3][kbits - 1] // MP3_RATES[version][rate] + (word >> 9 & 1)


def _stated_mp3_frames(frame: bytes) -> int:
    """Return how many frames the first one says that there are; 0 where it does not."""
    mono, first_version = frame[3] >> 6 == 3, frame[1] >> 3 & 3 == 3
    at = 4 + ((17 if mono else 32) if first_version else (9 if mono else 17))
    if frame[at : at + 4] not in (b"Xing", b"Info") or not frame[at + 7 : at + 8] or not frame[at + 7] & 1:
        return 0
    return int.from_bytes(frame[at + 8 : at + 12], "big")
