"""What a command line names -> the recordings that it stands for."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..sound.reading import AUDIO_SUFFIXES

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def find_recordings(names: Sequence[str]) -> list[tuple[Path, str | None]]:
    """Turn files, folders and patterns into the recordings that they stand for.

    A folder stands for every recording below it (known by its suffix, hidden files left out), a pattern such as
    ``calls/*.wav`` or ``**/*.mp3`` for every recording that fits, a file for itself whatever its name. Each
    recording comes once, however often it is named.

    Parameters
    ----------
    names : sequence of str
        As typed; patterns that the shell did not expand (no Windows shell does) are expanded here.

    Returns
    -------
    list of (Path, str or None)
        Recordings in the order of the names, those of one name sorted; with a sentence in place of None where a
        name stands for nothing that could be judged.
    """
    found, seen = [], set()

    def add(path: Path, error: str | None = None) -> None:
        key = os.path.normcase(os.path.realpath(path))
        if error or key not in seen:
            found.append((path, error))
        if not error:
            seen.add(key)

    for name in names:
        path = Path(name)
        if not name:
            # An empty variable of a shell: whoever means this folder says so.
            recordings, errors = [], [(path, "A name is empty: name a recording or a folder, '.' for this one.")]
        elif _ADDRESS.match(name):
            what = f"'{name}' is an address, and nothing is fetched from the network"
            recordings, errors = [], [(path, f"{what}: download it first, with  curl -L -o recording.mp3 '{name}'")]
        elif _is_folder(path):
            recordings, errors = _recordings_below(path)
        elif glob.has_magic(name) and not os.path.lexists(name):
            recordings, errors = _recordings_like(name)
        else:
            recordings, errors = [path], []
        for recording in recordings:
            add(recording)
        for place, error in errors:
            add(place, error)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # not allowed to look, or a zero byte in the name
        return False


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _recordings_below(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    recordings, errors = [], []

    def unreadable(error: OSError) -> None:
        place = Path(error.filename or folder)
        errors.append((place, f"'{place}' cannot be searched ({error.strerror}): change its permissions."))

    for place, subfolders, files in os.walk(folder, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        recordings += [path for path in (Path(place) / file for file in sorted(files)) if _is_recording(path)]
    if not recordings and not errors:
        errors.append(
            (folder, f"'{folder}' holds no recording (WAV, MP3, M4A, FLAC, ...): name a folder with recordings.")
        )
    return recordings, errors


def _recordings_like(pattern: str) -> tuple[list[Path], list[tuple[Path, str]]]:
    recordings, errors = [], []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207 - pathlib takes no absolute pattern
        if _is_folder(path):
            # What is below a folder that the pattern met by chance may well be something else.
            recordings += _recordings_below(path)[0] if "**" not in pattern else []
        elif _is_recording(path):
            recordings.append(path)
    if not recordings:
        errors.append((Path(pattern), f"No recording fits '{pattern}': check the folder and the pattern."))
    return recordings, errors
