"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from pathlib import Path

from .lengths import mp3_frame_bytes

HEAD_BYTES = 16 * 1024
"""Read of a file to see what it is."""

CLOCKED = {
    **dict.fromkeys((b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\x01\xba"), 0),
    **dict.fromkeys((b"ftyp", b"moov", b"mdat"), 4),
}
"""Beginnings, and where they stand, of what says for each packet when it is to be heard: Matroska and WebM, MP4 and
QuickTime, Flash, Windows Media and MPEG program streams."""

SOUND = CLOCKED | {
    **dict.fromkeys((b"RF64", b"BW64", b"caff", b".snd", b"riff.\x91\xcf\x11", b"fLaC", b"OggS", b"ID3"), 0),
    **dict.fromkeys((b"#!AMR", b"MAC ", b"wvpk", b"TTA1", b"TTA2", b"NIST_1A\n", b"Creative Voice File\x1a"), 0),
    **dict.fromkeys((b".RMF", b"tBaK"), 0),
    **dict.fromkeys((b"WAVE", b"AVI ", b"AIFF", b"AIFC"), 8),
}
"""Beginnings of all kinds of recordings that have one, videos included."""

PACKETS = ((0, 188), (4, 192))
"""Where the first packet of an MPEG transport stream begins, and their distance; each begins with a G."""

OTHERS = (
    ((b"version https://git-lfs.github.com/spec/",), "a Git LFS pointer, not the recording: run 'git lfs pull'"),
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "a web page, not audio: download the recording itself"),
    ((b"<?xml", b"<error", b'{"error'), "the answer of a server, not audio: download the recording itself"),
)
"""What is often found under the name of a recording, and what to do then."""


def head(path: Path) -> bytes:
    """Return the first bytes of a file, none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def is_clocked(first: bytes) -> bool:
    """Return whether a file that begins like this says when its packets are to be heard."""
    return any(first.startswith(magic, at) for magic, at in CLOCKED.items()) or _is_transport_stream(first)


def _is_transport_stream(first: bytes) -> bool:
    return any(
        len(first) > 4 * distance and first[at : at + 5 * distance : distance].strip(b"G") == b""
        for at, distance in PACKETS
    )


def is_sound(first: bytes) -> bool:
    """Return whether a file that begins like this is a recording, or a video that may have a sound track."""
    begins = any(first.startswith(magic, at) for magic, at in SOUND.items())
    return begins or _is_transport_stream(first) or _frames_in_a_row(first)


def _frames_in_a_row(first: bytes) -> bool:
    """Return whether bare frames begin here: one could be anything, three are MP3 or AAC."""
    at = 0
    for _ in range(3):
        length = mp3_frame_bytes(first[at : at + 4]) or _adts_frame_bytes(first[at : at + 6])
        if not length:
            return False
        at += length
    return True


def _adts_frame_bytes(frame: bytes) -> int:
    word = int.from_bytes(frame.ljust(6, b"\0"), "big")
    return word >> 5 & 0x1FFF if word >> 36 == 0xFFF and not word >> 33 & 3 else 0


def misnamed(first: bytes) -> str | None:
    """Return what a file is that begins like this and what to do then, where it is known not to be a recording."""
    text = first[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for beginnings, what in OTHERS if text.startswith(beginnings)), None)
