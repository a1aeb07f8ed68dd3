"""Damaged recordings of every container that libsndfile and ffmpeg write here, answered as script.py does."""

from __future__ import annotations

import argparse
import itertools
import re
import struct
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from common import MODEL, Listener, decoder_mib, peak_mib, progress, table

from deepfake_audio.judging import many
from deepfake_audio.settings import SAMPLE_RATE

MINUTES = 90

FFMPEG_TARGETS = """
m4a aac, m4a alac, aac aac, ac3 ac3, eac3 eac3, wma wmav2, amr libopencore_amrnb, 3gp libopencore_amrnb, webm libopus,
mka flac, mov pcm_s24le, avi mp2, flv libmp3lame, tta tta, wv wavpack, mp2 mp2, ts aac, rm ac3, mp4 aac, caf alac,
ogg flac, voc pcm_u8
"""
"""Suffix and codec."""

INTRICATE = ("FLAC", "MP3", "OGG", "ALAC", "ADPCM", "GSM", "G72", "DWVW")
"""What is more than numbers in a row gets a larger share of the damage, like everything that ffmpeg decodes."""

BOUNDARIES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def originals(folder: Path, seconds: float = 1.0) -> list[tuple[str, bytes]]:
    """Return sound in every container and coding that libsndfile and ffmpeg can write here."""
    import imageio_ffmpeg

    sound = np.random.default_rng(0).normal(0.0, 0.1, (round(seconds * SAMPLE_RATE), 2)).cumsum(axis=0)
    sound = 0.5 * sound / np.abs(sound).max()
    made = []
    for container in sorted(set(soundfile.available_formats()) - {"RAW"}):  # RAW has nothing to know it by
        for coding in sorted(soundfile.available_subtypes(container)):
            path = folder / "original"
            for samples in (sound, sound[:, 0]):  # some codings are for one channel only
                try:
                    soundfile.write(path, samples, SAMPLE_RATE, format=container, subtype=coding)
                except (soundfile.SoundFileError, ValueError):
                    continue
                name = f"{container} {coding}"
                made += [(name, path.read_bytes())] * (4 if any(word in name for word in INTRICATE) else 1)
                break
    soundfile.write(folder / "source.wav", sound, SAMPLE_RATE)
    for suffix, codec in map(str.split, FFMPEG_TARGETS.split(",")):
        path = folder / f"target.{suffix}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-y", "-i", folder / "source.wav", "-c:a", codec]
        rate = ["-ar", "8000", "-ac", "1"] if "amr" in codec else []
        if subprocess.run([*command, *rate, path], check=False).returncode == 0:
            made += [(f"{suffix} {codec}", path.read_bytes())] * 4
    return made


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done to a file, and the file."""
    kind = str(rng.choice(["bits", "header bits", "sizes", "chunks", "cut", "joined", "zeros", "inserted"]))
    data = bytearray(data)
    size = len(data)
    at = int(rng.integers(size))
    if kind in ("bits", "header bits"):
        within = min(size, 256) if kind == "header bits" else size
        for place in rng.integers(within, size=int(2 ** rng.uniform(0, 7))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "sizes":
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(min(size - 4, 400))) & ~1
            form = str(rng.choice(["<I", ">I", "<H", ">H", "B"]))
            value = int(rng.choice(BOUNDARIES)) & (2 ** (8 * struct.calcsize(form)) - 1)
            struct.pack_into(form, data, place, value)
    elif kind == "chunks":
        # Names of four letters begin the parts of RIFF, AIFF, CAF and MP4.
        names = [match.start() for match in re.finditer(rb"[A-Za-z]{3}[A-Za-z ]", data[:4000])] or [0]
        first, second = (int(rng.choice(names)) for _ in range(2))
        piece = data[first : first + int(rng.integers(4, 2000))]
        if rng.random() < 0.5:
            del data[first : first + len(piece)]
        else:
            data[second:second] = piece
    elif kind == "cut":
        del data[at:]
    elif kind == "joined":
        data = data[: int(rng.choice([at, size]))] + other[int(rng.choice([0, rng.integers(len(other))])) :]
    elif kind == "zeros":
        data[at : at + 2000] = bytes(len(data[at : at + 2000]))
    else:
        data[at:at] = rng.bytes(int(2 ** rng.uniform(0, 12)))
    return kind, bytes(data) or b"\0"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where files that crash or hang a decoder are kept")


def run(arguments: argparse.Namespace) -> bool:
    """Have damaged files answered as script.py does; return whether all were."""
    sentences, verdicts, kinds, lost, slowest = Counter(), Counter(), Counter(), [], (0.0, "")
    listener, rng = Listener(), np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources = originals(folder)
        names = list(dict(sources))
        progress(f"{len(names)} originals: {', '.join(names)}")

        def made():
            for number, (name, data) in zip(range(arguments.files), itertools.cycle(sources), strict=False):
                kind, content = damaged(data, sources[rng.integers(len(sources))][1], rng)
                kinds[kind] += 1
                path = folder / f"{number} {name} {kind}.audio"
                path.write_bytes(content)
                yield path, None

        def judge(path: Path) -> many.Answer:
            started = time.monotonic()
            answer = many.answer(path, listener, MODEL)
            answer.result["took"] = time.monotonic() - started
            return answer

        started = time.monotonic()
        answers = many.answer_all(made(), judge, MODEL, arguments.jobs)
        for number in range(arguments.files):
            try:
                result = next(answers).result
            except Exception as error:  # the very thing that must not happen
                lost.append(f"after {number}: {error!r}")
                break
            path = Path(result["path"])
            verdicts[result["verdict"]] += 1
            if result["error"]:
                sentences[result["error"].replace(f"'{path}'", "X")] += 1
            if arguments.keep and any(word in (result["error"] or "") for word in ("crash", "within", "MiB")):
                (arguments.keep / path.name).write_bytes(path.read_bytes())
            slowest = max(slowest, (result["took"], path.name))
            path.unlink()
            if number % 500 == 499:
                progress(f"{number + 1} in {time.monotonic() - started:.0f} s")
        answers.close()
        decoder = decoder_mib()
    table([("damage", "files"), *kinds.most_common()])
    table([("answer", "files"), *verdicts.most_common()])
    table([("sentence", "files"), *sentences.most_common()])
    print(f"Slowest: {slowest[0]:.1f} s ({slowest[1]})")
    print(f"Peak memory: {peak_mib():.0f} MiB, of a decoder {decoder:.0f} MiB")
    answered = sum(verdicts.values())
    print(f"{answered} of {arguments.files} answered in {time.monotonic() - started:.0f} s; lost: {lost or 'nothing'}")
    return answered == arguments.files
