"""Writing so that a crash leaves the old file or the new one."""

import hashlib
import os

import pytest

from deepfake_audio.files import atomic_path, file_sha256, remove_leftovers, remove_leftovers_below


def test_a_file_appears_under_its_name_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "folder" / "plot.png"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_half_way_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_bytes(b"ha")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_before_anything_is_written_is_told_as_it_is(tmp_path):
    with pytest.raises(ValueError, match="first"), atomic_path(tmp_path / "a.txt"):
        raise ValueError("first")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("remove", "whose", "left"),
    [
        (remove_leftovers_below, "run", []),
        (remove_leftovers, "run/a[1].png", ["b.tmp-7.png"]),
        (remove_leftovers, "run", ["a[1].tmp-7.png", "b.tmp-7.png"]),
    ],
    ids=["a folder of ours", "a file", "a folder where a file was to be"],
)
def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path, remove, whose, left):
    folder = tmp_path / "run"
    folder.mkdir()
    ours = ("a[1].png", "a1.png", "b.tmp", "a[1].tmp-monday.png", "b.tmp-7-old.png")
    for name in ours:
        (folder / name).touch()
    for name in ("a[1].png", "b.png"):
        with atomic_path(folder / name) as temporary:
            temporary.touch()
            leftover = temporary.with_name(temporary.name.replace(str(os.getpid()), "7"))
            leftover.touch()
    remove(tmp_path / whose)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["b.png", *ours, *left])


def test_sha256_of_more_than_one_block(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
