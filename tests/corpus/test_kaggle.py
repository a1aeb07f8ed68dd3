"""Where a Kaggle dataset is found, and how it is fetched: without any network."""

from __future__ import annotations

import sys
import types

import pytest
import trees
from commands import TRAIN, python

from deepfake_audio.corpus import kaggle
from deepfake_audio.corpus.kaggle import HANDLE, dataset_folder
from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.errors import CorpusError

NAME = "someone/fake-or-real"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Move mounts and cache into a folder of the test; no kagglehub is installed."""
    monkeypatch.setattr(kaggle, "MOUNTS", tmp_path / "input")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    return tmp_path


def keep(places, version: int, complete: bool = True):
    folder = places / "cache" / "datasets" / "someone" / "fake-or-real" / "versions" / str(version)
    trees.fake_or_real(trees.Grower(folder))
    if complete:
        (folder.parent.parent / f"{version}.complete").touch()
    return folder


@pytest.mark.parametrize("mount", ["fake-or-real", "datasets/someone/fake-or-real"])
def test_both_kinds_of_mounts_are_found(places, mount):
    trees.fake_or_real(trees.Grower(places / "input" / mount))
    (places / "input" / "fake-or-real").mkdir(exist_ok=True)
    keep(places, 1)
    assert dataset_folder(NAME) == places / "input" / mount


def test_the_newest_complete_download_is_used_without_network_or_package(places):
    keep(places, 9)
    folder = keep(places, 10)
    keep(places, 11, complete=False)
    (folder.parent.parent / "12.complete").touch()
    assert dataset_folder(NAME) == folder
    (dataset,) = find_datasets([folder])
    assert dataset.layout == "Fake-or-Real (for-norm)"
    assert all(clip.name.startswith("fake-or-real/for-norm/") for clip in dataset.clips), "not a version's number"


def test_the_missing_package_is_one_sentence(places):
    with pytest.raises(CorpusError) as error:
        dataset_folder(NAME)
    assert 'pip install "kagglehub' in str(error.value) and "\n" not in str(error.value)
    assert "https://www.kaggle.com/datasets/someone/fake-or-real" in str(error.value)


def install(monkeypatch, download):
    module = types.ModuleType("kagglehub")
    module.dataset_download = download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_what_kagglehub_fetches_is_used_and_its_words_are_no_results(places, monkeypatch, capsys):
    def download(handle):
        print("Downloading", handle)
        return str(places / "fetched")

    install(monkeypatch, download)
    assert dataset_folder(NAME) == places / "fetched"
    assert capsys.readouterr() == ("", f"Downloading {NAME}\n")


@pytest.mark.parametrize("error", [ConnectionError("no\nroute"), OSError(28, "No space left on device"), ValueError()])
def test_a_download_that_fails_is_one_sentence(places, monkeypatch, error):
    def download(handle):
        raise error

    install(monkeypatch, download)
    with pytest.raises(CorpusError, match="someone/fake-or-real cannot be fetched from Kaggle") as told:
        dataset_folder(NAME)
    assert "\n" not in str(told.value) and (" ".join(str(error).split()) or "ValueError") in str(told.value)


def test_archives_that_nobody_unpacked_are_reported(tmp_path):
    grow = trees.Grower(tmp_path / "set")
    grow.text("release_in_the_wild.zip", "PK")
    with pytest.raises(CorpusError, match=r"1 archive that is not unpacked \(such as release_in_the_wild\.zip\)"):
        find_datasets([grow.root])


@pytest.mark.parametrize("name", ["awsaf49/asvpoof-2019-dataset", "a/b.c_d"])
def test_names_of_datasets(name):
    assert HANDLE.fullmatch(name)


@pytest.mark.parametrize("name", ["justname", "../x", "a/../b", "a/b/c", "/a/b", "a/", "https://www.kaggle.com/a/b"])
def test_what_is_no_name_is_a_usage_error(name):
    assert not HANDLE.fullmatch(name)


def test_the_command_finds_a_dataset_in_the_cache(places):
    folder = keep(places, 3)
    command = (TRAIN, "--check-data", "--json", "--outputs", places / "outputs")
    cache = {"KAGGLEHUB_CACHE": str(places / "cache")}
    done = python(*command, "--kaggle", NAME, **cache)
    assert "error:" in done.stderr and "3 Real" in done.stderr, "three clips cannot be split"
    assert f'"root": "{(folder / "for-norm" / "for-norm").as_posix()}"' in done.stdout.replace("\\\\", "/")
    assert python(*command, "--kaggle", "no name").returncode == 2
