"""What the training's command line makes of settings: which of several counts, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest

from deepfake_audio import options
from deepfake_audio.model.checkpoint import Checkpoint
from deepfake_audio.options import differences, listing
from deepfake_audio.settings import NetworkSettings, Settings, changed, to_dict

OUTPUTS = Path("outputs")


def settings_file(folder, **training):
    path = folder / "settings.json"
    settings = dataclasses.replace(Settings(), training=dataclasses.replace(Settings().training, **training))
    path.write_text(json.dumps(to_dict(settings)), encoding="utf-8")
    return path


def test_later_settings_win(tmp_path):
    path = settings_file(tmp_path, epochs=7, batch_size=8, seed=9, learning_rate=0.4)
    typed = ["--settings", str(path), "--batch-size", "16", "--seed", "3", "--set", "training.seed=4"]
    arguments = options.training([*typed, "--set", "augment.noise_chance=1"], OUTPUTS)
    made = options.settings_of(arguments)
    assert (made.training.epochs, made.training.batch_size, made.training.seed) == (7, 16, 4)
    assert made.augment.noise_chance == 1.0
    own = dataclasses.replace(Settings(), network=NetworkSettings(rnn_units=8))
    made = options.settings_of(arguments, Checkpoint(Path("base"), own, "", "", 0, "", {}))
    assert made.network.rnn_units == 8 and made.training.learning_rate == pytest.approx(0.1)
    assert made.training.batch_size == 16 and made.training.seed == 4


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--set", "training.speed=1"], "no setting 'training.speed'"),
        (["--set", "epochs=1"], "no setting 'epochs'"),
        (["--set", "training.epochs=0"], "epochs must be between 1 and"),
        (["--set", "training.epochs=ten"], "'ten' is no value for training.epochs"),
        (["--set", "network.strided=1"], "strided must be bool"),
        (["--set", "window.frames=301"], "301 frames do not divide"),
        (["--set", "network.rnn_units=8", "--init-from", "model.keras"], "network.rnn_units=8 cannot be changed"),
        (["--set", "training.seed=1", "--resume"], "--set and --settings are for a new run"),
        (["--settings", "none.json"], "none.json cannot be read"),
        (["--settings", "old.json"], "does not hold the settings of this version"),
    ],
)
def test_what_cannot_be_set_is_exit_code_2_in_one_sentence(typed, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_text('{"features": {}}', encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        options.training(typed, OUTPUTS)
    told = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and words in told[-1] and sum("error:" in line for line in told) == 1


def test_differences_make_the_same_settings_again():
    changes = ["network.convolution_filters=[4,8]", "network.strided=true", "training.weight_decay=0.0"]
    made = changed(Settings(), changes)
    assert differences(made) == [
        "network.convolution_filters=[4,8]",
        "network.strided=true",
        "training.weight_decay=0.0",
    ]
    assert changed(Settings(), differences(made)) == made
    assert differences(made, made) == []


def test_every_setting_is_listed_as_it_can_be_typed():
    lines = listing(Settings())
    shown = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
    names = {f"{group}.{name}" for group, part in to_dict(Settings()).items() for name in part}
    assert {line.split("=")[0] for line in shown} == names and changed(Settings(), shown) == Settings()
    at = lines.index("training.page_share=0.7  (0 to 1)")
    assert lines[at + 1] == "    Share of the others that come from sources with both classes."


def test_every_setting_says_what_it_means():
    lines = listing(Settings())
    assert len(lines) == 2 * sum(map(len, to_dict(Settings()).values()))
    assert all(line.startswith("    ") and line.endswith(".") for line in lines[1::2])
