"""What people type by habit is understood, or answered with the line that works."""

import json

import pytest
from commands import HERE, JUDGE, STARTER, python

from deepfake_audio import options, places
from deepfake_audio.answers.find import find_recordings
from deepfake_audio.answers.table import Table
from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.errors import CheckpointError, CorpusError, OutputError
from deepfake_audio.features.log_mel import band_centres
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.version import SCHEMA

CLIP = STARTER / "fake" / "flite-slt-001.flac"
OUT = HERE / "outputs"


def refused(parse, *words, capsys) -> str:
    """Return the sentence with which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        parse(list(map(str, words)), OUT)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_folder_of_a_run_stands_for_its_checkpoint():
    assert read_checkpoint(places.bundled().parent).path == places.bundled()


def test_a_network_of_another_format_is_answered_with_the_file_to_give(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(CheckpointError, match=r"give the model\.keras of a run, which holds the network for onnx"):
        read_checkpoint(tmp_path / "model.onnx")


@pytest.mark.parametrize("typed", ['C:\\My Folder"', 'My Folder"'])
def test_the_quote_behind_a_last_backslash_is_no_part_of_a_name(typed):
    assert options.judging([typed], OUT).paths == [typed[:-1]]
    assert str(options.training(["--data", typed], OUT).data[0]) == typed[:-1]


def test_a_quote_that_swallowed_the_next_words_is_explained(capsys):
    assert "without a backslash at its end" in refused(options.judging, 'C:\\My Folder" --json', capsys=capsys)


@pytest.mark.parametrize(("option", "name", "better"), [("--report", "x.pdf", "x.html"), ("--csv", "x.xlsx", "x.csv")])
def test_files_of_another_kind_are_refused_with_the_name_that_works(option, name, better, capsys):
    assert f"name it '{better}'" in refused(options.judging, CLIP, option, name, capsys=capsys)


def test_folders_may_stand_without_data(tmp_path):
    assert options.training([str(tmp_path), "--epochs", "3"], OUT).data == [tmp_path]
    assert options.training(["a", "--data", "b"], OUT).data == [options.Path("a"), options.Path("b")]


@pytest.mark.parametrize(
    ("name", "advice"), [("x.zip", "python -m zipfile -e"), ("x.tar.gz", "python -m tarfile -e"), ("x.wav", "--data ")]
)
def test_a_file_for_data_is_answered_with_what_to_do(name, advice, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CorpusError, match="is a file") as error:
        find_datasets([tmp_path / name])
    assert advice in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "typed", ["https://www.kaggle.com/datasets/a/b", "kaggle.com/datasets/a/b/data?select=x", "a/b"]
)
def test_the_address_of_a_dataset_is_understood(typed):
    assert options.training(["--kaggle", typed], OUT).kaggle == ["a/b"]


def test_another_address_is_not(capsys):
    assert "OWNER/NAME" in refused(options.training, "--kaggle", "https://www.kaggle.com/c/titanic", capsys=capsys)


def test_an_address_for_a_recording_is_answered_with_how_to_fetch_it():
    ((_, error),) = find_recordings(["https://example.org/a b.mp3?x=1"])
    assert "curl -L -o recording.mp3 'https://example.org/a b.mp3?x=1'" in error


def test_a_verdict_and_its_files_load_no_library_of_training(tmp_path):
    code = (
        "import sys; sys.path[:0] = [sys.argv.pop(1)]; import script; code = script.main(sys.argv[1:]); "
        "print(sorted({'sklearn', 'scipy', 'librosa', 'tensorflow', 'keras'} & set(sys.modules))); sys.exit(code)"
    )
    files = ("--labels", "l.txt", "--report", "r.html", "--plot", "p", "--csv", "t.csv", "--threshold", "0.9")
    done = python("-c", code, HERE, CLIP, "--quiet", "--model", places.bundled(), *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.txt", "p", "r.html", "t.csv"]


def test_every_json_object_names_its_schema(tmp_path):
    judged = python(JUDGE, CLIP, tmp_path / "none.wav", "--json", "--model", places.bundled())
    assert [json.loads(line)["schema"] for line in judged.stdout.splitlines()] == [SCHEMA, SCHEMA]


def test_a_table_of_another_version_is_refused_with_what_to_do(tmp_path):
    table = tmp_path / "answers.csv"
    table.write_text("path,verdict,score\na.wav,Real,1\n", encoding="utf-8")
    with pytest.raises(OutputError, match="a table of another version of this program: name another file"):
        Table(table, {"name": "m", "trained": "t"})
    assert table.read_text(encoding="utf-8").startswith("path,verdict,score\n")


@pytest.mark.parametrize("low", [0.0, 30.0])
def test_mel_bands_peak_where_librosas_do(low):
    from librosa import mel_frequencies

    theirs = mel_frequencies(82, fmin=low, fmax=8000.0)[1:-1]
    assert abs(band_centres(80, low, 8000.0) - theirs).max() < 1e-6


KERAS = """
from deepfake_audio.model.backend import keras
print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
"""


def test_settings_of_keras_that_are_meant_for_others_are_overridden(tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"backend": "theano", "image_data_format": "channels_first", "floatx": "float16"}'
    )
    done = python("-c", KERAS, KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch")
    assert done.stdout == "tensorflow channels_last float32\n"
    assert done.stderr == "Keras is set to torch, channels_first, float16, which counts for nothing here.\n"
