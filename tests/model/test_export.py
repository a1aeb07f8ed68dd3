"""Every layer of the network is translated; a file that answers differently, or a strange layer, leaves nothing."""

import dataclasses

import keras
import pytest
import tiny

from deepfake_audio.errors import ExportError
from deepfake_audio.model import export
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.model.engines import OnnxEngine

SETTINGS = tiny.settings()


def changed(**network):
    return dataclasses.replace(SETTINGS, network=dataclasses.replace(SETTINGS.network, **network))


@pytest.mark.parametrize(
    "some", [SETTINGS, changed(strided=True), changed(texture_filters=0)], ids=["texture", "strided", "plain"]
)
def test_all_kinds_of_networks_are_exported(some, tmp_path):
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", some)
    export.export_checkpoint(checkpoint)  # it compares the answers itself
    OnnxEngine(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert keras.models.load_model(checkpoint.path, compile=False).count_params() > 0
    export.export_checkpoint(checkpoint)  # once more in place of the first
    assert read_checkpoint(checkpoint.path) == checkpoint


def test_a_file_that_answers_differently_is_not_kept(tmp_path, monkeypatch, capsys):
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    before = checkpoint.path.read_bytes()
    monkeypatch.setitem(export.TRANSLATIONS, "GlobalMaxPooling1D", export.TRANSLATIONS["GlobalAveragePooling1D"])
    with pytest.raises(ExportError, match="differ from those of Keras"):
        export.export_checkpoint(checkpoint)
    export.try_export(checkpoint)
    assert "warning: no network for onnxruntime" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"] and checkpoint.path.read_bytes() == before


def test_what_has_no_translation_is_named():
    inputs = keras.Input((4, 2))
    for layer, reason in (
        (keras.layers.GRU(2), "GRU"),
        (keras.layers.Bidirectional(keras.layers.GRU(2)), "GRU"),
        (keras.layers.Dense(2, activation="gelu"), "gelu"),
    ):
        with pytest.raises(ExportError, match=reason):
            export.to_onnx(keras.Model(inputs, {"verdict": layer(inputs)}))
