"""What a command line names -> the recordings that it stands for."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..judging.many import STANDARD_INPUT
from ..sound import kinds
from ..sound.reading import AUDIO_SUFFIXES

PIPES = (STANDARD_INPUT, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


MOST_KINDS = 8
"""Of what is passed over, that are named."""


def find_recordings(names: Sequence[str], passed_over: Counter | None = None) -> list[tuple[Path, str | None]]:
    """Turn files, folders and patterns into the recordings that they stand for.

    ``-`` stands for a recording that comes through a pipe, a folder for every recording below it (known by its suffix
    or its first bytes, hidden files left out), a pattern such as ``calls/*.wav`` or ``**/*.mp3`` for every recording
    that fits, whether or not the shell expands it (no Windows shell does), a file for itself whatever its name.

    Each recording comes once, in the order of the names, those of one name sorted; with a sentence in place of None
    where a name stands for nothing that could be judged. `passed_over` counts by suffix what is no recording.
    """
    found, seen = [], set()
    passed_over = Counter() if passed_over is None else passed_over
    for name in names:
        for path, error in _named(name, passed_over):
            key = None if error else os.path.normcase(os.path.realpath(path))
            if key is None or key not in seen:
                found.append((path, error))
                seen.add(key)
    return found


def _named(name: str, passed_over: Counter) -> list[tuple[Path, str | None]]:
    path = Path(name)
    if not name:
        # An empty variable of a shell: whoever means this folder says so.
        return [(path, "A name is empty: name a recording or a folder, '.' for this one.")]
    if _ADDRESS.match(name):
        what = f"'{name}' is an address, and nothing is fetched from the network"
        return [(path, f"{what}: download it first, with  curl -L -o recording.mp3 '{name}'")]
    if name in PIPES:
        if sys.stdin is None or sys.stdin.isatty():
            return [(path, f"'{name}' is the keyboard: send a recording into it, as in  ffmpeg -i X -f wav - | ... -")]
        return [(Path(STANDARD_INPUT), None)]
    if _is_folder(path):
        return _recordings_below(path, passed_over)
    if glob.has_magic(name) and not os.path.lexists(name):
        return _recordings_like(name, passed_over)
    return [(path.absolute() if str(path) == STANDARD_INPUT else path, None)]  # a file of this name is no pipe


def describe_passed_over(passed_over: Counter) -> str:
    """Return a sentence that counts what is no recording, by suffix."""
    kinds_of_files = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds_of_files[:MOST_KINDS]]
    if more := sum(count for _, count in kinds_of_files[MOST_KINDS:]):
        words.append(f"{more} of other kinds")
    return f"Passed over, because they do not begin like sound: {', '.join(words)}."


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # not allowed to look, or a zero byte in the name
        return False


def _is_recording(path: Path, passed_over: Counter) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return False
    # What waits to be written to, such as a named pipe, is not opened.
    if suffix in AUDIO_SUFFIXES or (path.is_file() and kinds.is_sound(kinds.head(path))):
        return True
    passed_over[suffix] += 1
    return False


def _recordings_below(folder: Path, passed_over: Counter) -> list[tuple[Path, str | None]]:
    recordings, errors = [], []

    def unreadable(error: OSError) -> None:
        place = Path(error.filename or folder)
        errors.append((place, f"'{place}' cannot be searched ({error.strerror}): change its permissions."))

    for place, subfolders, files in os.walk(folder, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        paths = (Path(place) / file for file in sorted(files))
        recordings += [(path, None) for path in paths if _is_recording(path, passed_over)]
    nothing = f"'{folder}' holds no recording (WAV, MP3, M4A, FLAC, ...): name a folder with recordings."
    return recordings + errors or [(folder, nothing)]


def _recordings_like(pattern: str, passed_over: Counter) -> list[tuple[Path, str | None]]:
    found = []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207 - pathlib takes no absolute pattern
        if _is_folder(path):
            # What is below a folder that the pattern met by chance may well be something else.
            below = _recordings_below(path, passed_over) if "**" not in pattern else []
            found += [(recording, error) for recording, error in below if error is None]
        elif _is_recording(path, passed_over):
            found.append((path, None))
    return found or [(Path(pattern), f"No recording fits '{pattern}': check the folder and the pattern.")]
