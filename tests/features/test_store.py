"""The feature cache: killed writers, writers side by side, damage, a full disk."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import sqlite3
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from commands import HERE

from deepfake_audio.errors import RunError
from deepfake_audio.features import store
from deepfake_audio.features.store import INDEX_NAME, Extent, Extents, FeatureCache, Spectrogram
from deepfake_audio.settings import FeatureSettings

SETTINGS = FeatureSettings(mel_bands=4)


def spectrogram(number: int, frames: int = 20) -> Spectrogram:
    values = np.random.default_rng(number).normal(-40, 10, (frames, SETTINGS.mel_bands)).astype(np.float16)
    return Spectrogram(values, frames / 100, frames / 200)


def fill(folder: Path, numbers) -> FeatureCache:
    cache = FeatureCache(folder, SETTINGS)
    with cache.writer() as writer:
        for number in numbers:
            writer.add(key(number), spectrogram(number))
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
            assert (extent.seconds, extent.speech_seconds) == wanted[1:]
    return {number for number in numbers if key(number) in found}


def test_what_was_added_is_found_again_with_other_writers_beside_it(tmp_path):
    fill(tmp_path, range(3))
    fill(tmp_path, range(3, 7))
    assert held(tmp_path) == set(range(7))
    assert len(list(tmp_path.glob("*.f16"))) == 2


def test_a_writer_that_adds_nothing_leaves_no_file(tmp_path):
    fill(tmp_path, [])
    assert list(tmp_path.glob("*.f16")) == []


def test_an_error_in_the_middle_keeps_what_was_added(tmp_path):
    with pytest.raises(KeyError), FeatureCache(tmp_path, SETTINGS).writer() as writer:
        writer.add(key(1), spectrogram(1))
        raise KeyError
    assert held(tmp_path) == {1}


# Killed, and side by side

WRITE = """
import sys
import tracemalloc
import zlib
from pathlib import Path
sys.path[:0] = ["tests/features", "tests", "."]
from deepfake_audio.features import store
from test_store import *
store.ROWS_PER_COMMIT = 5
with FeatureCache(Path(sys.argv[1]), SETTINGS).writer() as writer:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        writer.add(key(number), spectrogram(number))
        print(number, flush=True)
    if sys.argv[4:]:
        sys.stdin.read()  # to be killed here
"""


def write(*arguments):
    command = [sys.executable, "-c", WRITE, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)


def test_a_killed_writer_leaves_a_cache_that_works_and_no_lock(tmp_path):
    process = write(tmp_path, 0, 13, "wait")
    for _ in range(13):
        process.stdout.readline()
    process.kill()  # SIGKILL: nothing is tidied up
    process.communicate()
    assert held(tmp_path) == set(range(11)), "the first was entered at once, the last two not yet"
    fill(tmp_path, range(11, 13))
    assert held(tmp_path) == set(range(13))


def test_long_work_is_entered_soon_and_no_shard_is_ever_without_a_name(tmp_path, monkeypatch):
    with FeatureCache(tmp_path, SETTINGS).writer() as writer:
        writer.add(key(0), spectrogram(0))
        assert held(tmp_path) == {0}
        writer.add(key(1), spectrogram(1))
        assert held(tmp_path) == {0}
        monkeypatch.setattr(store, "SECONDS_PER_COMMIT", 0.0)
        writer.add(key(2), spectrogram(2))
        assert held(tmp_path) == {0, 1, 2}


def test_only_shards_that_nobody_names_or_writes_to_are_removed(tmp_path):
    fill(tmp_path, range(2))
    (named,) = tmp_path.glob("*.f16")
    dead, young = tmp_path / "dead.f16", tmp_path / "young.f16"
    for path in (dead, young):
        path.write_bytes(b"of a writer that was killed, or is at work")
    for path in (named, dead):
        age(path, store.DEAD_SECONDS + 60)
    assert held(tmp_path) == {0, 1}
    assert sorted(tmp_path.glob("*.f16")) == sorted([named, young])


def test_killed_in_the_middle_of_entering(tmp_path):
    """A writer that dies between the journal and the index leaves the index as it was."""
    fill(tmp_path, range(3))
    code = (
        "import os, sqlite3, sys; index = sqlite3.connect(sys.argv[1]); index.execute('PRAGMA cache_size = 1')\n"
        "index.execute('BEGIN IMMEDIATE'); index.execute('DELETE FROM features')\n"
        "index.executemany('INSERT INTO files VALUES (?, 1, 1, ?)', ((str(n), 'x' * 500) for n in range(2000)))\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / INDEX_NAME], timeout=60)
    assert done.returncode == 9
    assert (tmp_path / f"{INDEX_NAME}-journal").stat().st_size > 0, "it had begun to write"
    assert held(tmp_path) == set(range(3))


def test_two_runs_at_once_share_one_cache(tmp_path):
    processes = [write(tmp_path, 0, 40), write(tmp_path, 20, 60)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert held(tmp_path) == set(range(60))


def test_an_index_that_another_program_keeps_to_itself_is_one_sentence(tmp_path, monkeypatch):
    fill(tmp_path, range(3))
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.1)
    other = sqlite3.connect(tmp_path / INDEX_NAME)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunError, match=r"cannot be used \(database is locked\); give another --cache\."):
        held(tmp_path)
    other.close()
    assert held(tmp_path) == set(range(3))


# Damage


def test_a_shard_that_was_cut_short_loses_only_its_end(tmp_path):
    fill(tmp_path, range(5))
    (shard,) = tmp_path.glob("*.f16")
    os.truncate(shard, shard.stat().st_size * 7 // 10)
    assert held(tmp_path) == {0, 1, 2}
    fill(tmp_path, [3, 4])
    assert held(tmp_path) == set(range(5)), "what is computed again takes the place of what was damaged"


def test_changed_numbers_in_a_shard_are_noticed(tmp_path):
    fill(tmp_path, range(5))
    (shard,) = tmp_path.glob("*.f16")
    with shard.open("r+b") as file:
        file.seek(shard.stat().st_size // 2)
        file.write(b"\x01\x02\x03")
    assert held(tmp_path) == {0, 1, 3, 4}


def test_a_shard_that_vanished_is_noticed_and_reading_it_is_one_sentence(tmp_path):
    cache = fill(tmp_path, range(2))
    extent = cache.find([key(1)])[key(1)]
    for shard in tmp_path.glob("*.f16"):
        shard.unlink()
    assert held(tmp_path) == set()
    with pytest.raises(RunError, match="gone or damaged"):
        cache.read(extent, 0, 5)


@pytest.mark.parametrize("damage", ["text", "half", "middle"])
def test_a_damaged_index_is_noticed_and_the_cache_starts_again(tmp_path, damage, capsys):
    fill(tmp_path, range(90))
    index = tmp_path / INDEX_NAME
    content = bytearray(index.read_bytes())
    if damage == "middle":
        content[4096 : 2 * 4096] = os.urandom(4096)
    index.write_bytes({"text": b"no database" * 100, "half": content[: len(content) // 2]}.get(damage, content))
    (tmp_path / f"{INDEX_NAME}-journal").write_bytes(b"of a writer that was killed")
    assert held(tmp_path) == set()
    assert "index of" in capsys.readouterr().err
    assert list(tmp_path.glob("*.f16")) == [], "nobody could find what is in them any more"
    fill(tmp_path, range(4))
    assert held(tmp_path) == set(range(4))


# A full disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_the_cache_still_works(tmp_path, number, monkeypatch):
    plain = store.write_all

    def full(file, data):
        if file.tell() >= 3 * data.nbytes:
            file.write(data.tobytes()[:10])  # the last bytes that found room
            raise OSError(number, os.strerror(number))
        plain(file, data)

    monkeypatch.setattr(store, "write_all", full)
    with pytest.raises(RunError, match=r"^The disk of .* is full; make room or give --cache .* kept\.$"):
        fill(tmp_path, range(9))
    monkeypatch.setattr(store, "write_all", plain)
    assert held(tmp_path) == {0, 1, 2}
    (shard,) = tmp_path.glob("*.f16")
    assert shard.stat().st_size == 3 * spectrogram(0).values.nbytes
    fill(tmp_path, range(3, 9))
    assert held(tmp_path) == set(range(9))


def test_a_disk_without_room_for_the_index_keeps_what_fits(tmp_path, monkeypatch):
    plain = FeatureCache._index

    @contextlib.contextmanager
    def index(cache):
        with plain(cache) as connection:
            yield connection
            if sum(path.stat().st_size for path in tmp_path.glob("*.f16")) > 6 * spectrogram(0).values.nbytes:
                raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(FeatureCache, "_index", index)
    with pytest.raises(RunError, match="is full; make room"):
        fill(tmp_path, range(12))
    assert held(tmp_path) == set(range(5))
    (shard,) = tmp_path.glob("*.f16")
    assert shard.stat().st_size == 5 * spectrogram(0).values.nbytes
    monkeypatch.undo()
    fill(tmp_path, range(5, 12))
    assert held(tmp_path) == set(range(12))


def test_a_disk_that_takes_a_part_at_a_time_gets_everything(tmp_path):
    class Reluctant:
        taken = b""

        def write(self, data):
            self.taken += bytes(data[:7])
            return min(7, len(data))

    file, values = Reluctant(), spectrogram(1).values
    store.write_all(file, values)
    assert file.taken == values.tobytes()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="give another --cache"):
        FeatureCache(tmp_path / "file" / "features", SETTINGS)


def test_an_index_that_cannot_be_used_is_known_at_once(tmp_path):
    (tmp_path / INDEX_NAME).mkdir()
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


def test_a_table_of_extents_is_a_dictionary_of_them():
    shared = ("plumless", "buckeroo")  # have one CRC-32
    assert len({zlib.crc32(name.encode()) for name in shared}) == 1
    names = [*shared, "na\u00efve \u58f0.wav#channel-1", os.fsdecode(b"not \xff utf-8"), "", *map(str, range(1000))]
    wanted = {name: Extent(f"shard {row % 3}", row * 2**33, row, row / 3, row / 7) for row, name in enumerate(names)}
    table = Extents()
    assert "plumless" not in table and len(table) == 0 and list(table) == []
    for part in (names[:1], names[1:500], names[500:]):
        table.add(part, [wanted[name] for name in part])
        assert all(table[name] == wanted[name] for name in part)
    assert list(table) == names and table == wanted
    assert "10000" not in table
    with pytest.raises(KeyError, match="10000"):
        table["10000"]


def test_a_table_of_extents_takes_little_more_than_its_names():
    tracemalloc.start()
    table = Extents()
    table.add(map(str, range(20_000)), (Extent("shard", 50 * n, 50, 0.5, 0.5) for n in range(20_000)))
    assert table["19999"].start == 50 * 19_999
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 70 * 20_000
