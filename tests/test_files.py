"""Writing so that a crash leaves the old file or the new one."""

import hashlib

import pytest

from deepfake_audio.files import atomic_path, file_sha256


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


def test_sha256_of_more_than_one_block(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
