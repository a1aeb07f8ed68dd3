"""The feature cache: killed writers, writers side by side, damage, a full disk."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import HERE

from deepfake_audio.errors import DiskFullError, RunError
from deepfake_audio.features import store
from deepfake_audio.features.store import BLOCK_FRAMES, FILE_NAME, FeatureCache, Spectrogram
from deepfake_audio.settings import FeatureSettings

SETTINGS = FeatureSettings(mel_bands=4)


def spectrogram(number: int, frames: int = 20) -> Spectrogram:
    values = np.random.default_rng(number).normal(-40, 10, (frames, SETTINGS.mel_bands)).astype(np.float16)
    return Spectrogram(values, frames / 100, frames / 200)


def fill(folder: Path, numbers) -> FeatureCache:
    cache = FeatureCache(folder, SETTINGS)
    for number in numbers:
        cache.add(key(number), spectrogram(number))
    return cache


def key(number: int) -> bytes:
    return f"clip {number}".encode()


def held(folder: Path, numbers=range(100)) -> set[int]:
    """Return which clips the cache holds, after a look at every number of theirs."""
    cache = FeatureCache(folder, SETTINGS)
    found = cache.find(map(key, numbers))
    for number in numbers:
        if key(number) in found:
            extent, wanted = found[key(number)], spectrogram(number)
            assert np.array_equal(cache.read(extent, 0, extent.frames), wanted.values)
            assert extent[1:] == (len(wanted.values), *wanted[1:])
    return {number for number in numbers if key(number) in found}


@pytest.mark.parametrize("frames", [0, 1, BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1, 3 * BLOCK_FRAMES + 7])
def test_every_part_of_a_clip_is_read_across_the_blocks(tmp_path, frames):
    cache = fill(tmp_path, [1])
    wanted = spectrogram(2, frames)
    extent = cache.add(key(2), wanted)
    cache.add(key(3), spectrogram(3))  # whatever follows is not read
    assert FeatureCache(tmp_path, SETTINGS).find([key(2)]) == {key(2): extent}
    for start in {0, 1, frames // 2, BLOCK_FRAMES - 1, BLOCK_FRAMES, frames - 1} & set(range(frames + 1)):
        for count in {0, 1, 5, BLOCK_FRAMES, frames - start} & set(range(frames - start + 1)):
            found = cache.read(extent, start, count)
            assert np.array_equal(found, wanted.values[start : start + count]) and found.dtype == np.float16


# Killed, and side by side

WRITE = """
import sys
from pathlib import Path
sys.path[:0] = ["tests/features", "tests", "."]
from test_store import FeatureCache, SETTINGS, key, spectrogram
cache = FeatureCache(Path(sys.argv[1]), SETTINGS)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.add(key(number), spectrogram(number))
    print(number, flush=True)
if sys.argv[4:]:
    sys.stdin.read()  # to be killed here
"""


def write(*arguments):
    command = [sys.executable, "-c", WRITE, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)


def test_a_killed_writer_loses_nothing_that_was_finished_and_leaves_no_lock(tmp_path):
    process = write(tmp_path, 0, 13, "wait")
    for _ in range(13):
        process.stdout.readline()
    process.kill()  # SIGKILL: nothing is tidied up
    process.communicate()
    assert held(tmp_path) == set(range(13))
    fill(tmp_path, range(13, 15))
    assert held(tmp_path) == set(range(15))


def test_killed_in_the_middle_of_entering(tmp_path):
    """A writer that dies between the journal and the file leaves the file as it was."""
    fill(tmp_path, range(3))
    code = (
        "import os, sqlite3, sys; file = sqlite3.connect(sys.argv[1]); file.execute('PRAGMA cache_size = 1')\n"
        "file.execute('BEGIN IMMEDIATE'); file.execute('DELETE FROM features'); file.execute('DELETE FROM blocks')\n"
        "file.executemany('INSERT INTO blocks (data) VALUES (?)', [('x' * 50_000,)] * 200)\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / FILE_NAME], timeout=60)
    assert done.returncode == 9
    assert (tmp_path / f"{FILE_NAME}-journal").stat().st_size > 0, "it had begun to write"
    assert held(tmp_path) == set(range(3))


def test_two_runs_at_once_share_one_cache(tmp_path):
    processes = [write(tmp_path, 0, 40), write(tmp_path, 20, 60)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert held(tmp_path) == set(range(60))


def test_what_a_run_wrote_it_reads_also_where_another_one_has_entered_the_same_clip_since(tmp_path):
    cache = fill(tmp_path, range(2))
    extent = cache.find([key(1)])[key(1)]
    FeatureCache(tmp_path, SETTINGS).add(key(1), spectrogram(7, 2 * BLOCK_FRAMES))
    assert np.array_equal(cache.read(extent, 0, extent.frames), spectrogram(1).values)


def test_a_file_that_another_program_keeps_to_itself_is_one_sentence(tmp_path, monkeypatch):
    fill(tmp_path, range(3))
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.1)
    other = sqlite3.connect(tmp_path / FILE_NAME)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunError, match=r"cannot be used \(database is locked\); .* give another --cache\."):
        held(tmp_path)
    other.close()
    assert held(tmp_path) == set(range(3))


# Damage


def test_changed_and_missing_numbers_are_noticed_and_computed_again(tmp_path):
    fill(tmp_path, range(5))
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        rows = file.execute("SELECT first, key FROM features").fetchall()
        first = {key: number for number, key in rows}
        changed = bytearray(spectrogram(2).values.tobytes())
        changed[50] ^= 1
        file.execute("UPDATE blocks SET data = ? WHERE number = ?", (bytes(changed), first[key(2)]))
        file.execute("DELETE FROM blocks WHERE number = ?", (first[key(3)],))
    file.close()
    assert held(tmp_path) == {0, 1, 4}
    fill(tmp_path, [2, 3])
    assert held(tmp_path) == set(range(5))


@pytest.mark.parametrize("damage", ["text", "half", "middle"])
def test_a_damaged_file_is_one_sentence_that_says_what_to_do(tmp_path, damage):
    fill(tmp_path, range(90))
    file = tmp_path / FILE_NAME
    content = bytearray(file.read_bytes())
    if damage == "middle":
        content[16384:] = os.urandom(len(content) - 16384)
    file.write_bytes({"text": b"no database" * 2000, "half": content[: len(content) // 2]}.get(damage, content))
    with pytest.raises(RunError, match=r"cannot be used \(.*\); delete it, or give another --cache\.$"):
        held(tmp_path)
    file.unlink()
    assert held(tmp_path) == set()


# A full disk


def test_a_cache_of_another_version_is_one_sentence_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FEATURE_VERSION", store.FEATURE_VERSION + 1)
    fill(tmp_path, [1])
    monkeypatch.undo()
    with pytest.raises(RunError, match="another version of this program: delete it, or give another --cache"):
        FeatureCache(tmp_path, SETTINGS)


def test_a_full_disk_is_one_sentence_and_the_cache_still_works(tmp_path):
    cache = fill(tmp_path, range(3))
    (pages,) = cache._connection.execute("PRAGMA page_count").fetchone()
    cache._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(DiskFullError, match=r"^The disk of .* is full; make room or give --cache .* kept\.$"):
        cache.add(key(3), spectrogram(3, 100 * BLOCK_FRAMES))
    cache.add(key(4), spectrogram(4))
    assert held(tmp_path) == {0, 1, 2, 4}
    fill(tmp_path, [3])
    assert held(tmp_path) == {0, 1, 2, 3, 4}


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="give another --cache"):
        FeatureCache(tmp_path / "file" / "features", SETTINGS)


def test_a_file_that_cannot_be_used_is_known_at_once(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(RunError, match=r"cannot be used .* give another --cache"):
        FeatureCache(tmp_path, SETTINGS)


# Contents


@pytest.fixture
def hashed(monkeypatch):
    seen = []

    def digest(path):
        seen.append(Path(path).name)
        return plain(path)

    plain = store.file_sha256
    monkeypatch.setattr(store, "file_sha256", digest)
    return seen


def age(path: Path, seconds: float) -> None:
    stamp = path.stat().st_mtime - seconds
    os.utime(path, (stamp, stamp))


def test_files_are_hashed_once_until_they_change(tmp_path, hashed):
    cache = FeatureCache(tmp_path / "cache", SETTINGS)
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for path in paths:
        path.write_text(path.name)
        age(path, 100)
    first = cache.contents([*paths, paths[0]], jobs=2)
    assert sorted(hashed) == ["a.wav", "b.wav", "c.wav"] and first[0] == first[3] and len(set(first)) == 3
    hashed.clear()
    assert FeatureCache(tmp_path / "cache", SETTINGS).contents(paths) == first[:3] and hashed == []
    paths[1].write_text("other")
    age(paths[1], 50)
    age(paths[2], 7)
    assert cache.contents(paths)[::2] == first[:3:2] and sorted(hashed) == ["b.wav", "c.wav"]


def test_a_file_of_this_moment_is_not_trusted_to_stay(tmp_path, hashed):
    path = tmp_path / "a.wav"
    path.write_text("one")
    cache = FeatureCache(tmp_path / "cache", SETTINGS)
    stamp = path.stat()
    before = cache.contents([path])
    path.write_text("two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # a clock too coarse to tell
    assert cache.contents([path]) != before and hashed == ["a.wav"] * 2


def test_files_that_cannot_be_read_have_no_content_and_keys_of_their_own(tmp_path):
    cache = FeatureCache(tmp_path / "cache", SETTINGS)
    missing = tmp_path / "missing.wav"
    assert cache.contents([missing, tmp_path]) == ["", ""]
    assert len(set(cache.keys([(missing, ()), (missing, ())]))) == 2


def test_keys_depend_on_content_settings_and_channel(tmp_path):
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    for path, content in zip(paths, ("one", "one", "two"), strict=True):
        path.write_text(content)
    wanted = [(path, ()) for path in paths] + [(paths[0], (1, 2)), (paths[0], (1, 3))]
    keys = FeatureCache(tmp_path / "cache", SETTINGS).keys(wanted)
    assert keys[0] == keys[1] and len(set(keys)) == 4
    others = FeatureCache(tmp_path / "cache", dataclasses.replace(SETTINGS, fft_samples=400)).keys(wanted)
    assert not set(keys) & set(others)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_a_name_that_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_text("sound")
    age(path, 100)
    assert len(FeatureCache(tmp_path / "cache", SETTINGS).contents([path])[0]) == 64
