"""Whatever a program hands over is one recording, or refused in a sentence."""

import io
from pathlib import Path

import numpy as np
import pytest

from deepfake_audio.errors import AudioError
from deepfake_audio.sound.sources import Samples, as_samples, opened

RAMP = np.linspace(-0.9, 0.9, 40)


@pytest.mark.parametrize("shape", [(40,), (20, 2), (2, 20), (8, 5), (40, 1), (1, 40)])
def test_the_shorter_axis_is_channels(shape):
    array = RAMP.reshape(shape)
    values = as_samples(array, 16_000).values
    expected = array if array.ndim == 1 or shape[0] > shape[1] else array.T
    np.testing.assert_array_equal(values, expected.reshape(len(expected), -1).astype(np.float32))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64"])
def test_whole_numbers_are_scaled_by_their_type(kind):
    limits = np.iinfo(kind)
    middle = 128 if kind == "uint8" else 0
    made = as_samples(np.array([limits.min, middle, limits.max], dtype=kind), 8_000)
    assert not made.is_float
    np.testing.assert_allclose(made.values[:, 0], [-1, 0, 1], atol=0.01)


@pytest.mark.parametrize(
    ("values", "rate", "words"),
    [
        (RAMP, None, "need their rate"),
        (RAMP, float("nan"), "sample rate of nan"),
        (RAMP, 22_050.5, "22050.5"),
        (RAMP, "fast", "'fast'"),
        (RAMP, 10, "sample rate of 10"),
        (np.zeros((9, 10)), 16_000, r"\(9, 10\) are ambiguous"),
        (np.zeros((2, 2)), 16_000, "ambiguous"),
        (np.zeros((2, 3, 4)), 16_000, "ambiguous"),
        ([], 16_000, "no samples"),
        ([0.1, np.nan], 16_000, "NaN"),
        (["a"], 16_000, "floats or whole numbers"),
        (None, 16_000, "floats or whole numbers"),
    ],
)
def test_what_would_be_a_guess_is_refused(values, rate, words):
    with pytest.raises(AudioError, match=words):
        as_samples(values, rate)


def test_bytes_and_files_are_kept_for_as_long_as_the_block_lasts(tmp_path):
    (tmp_path / "clip").write_bytes(b"abc")
    with (tmp_path / "clip").open("rb") as file:
        for source in (b"abc", bytearray(b"abc"), io.BytesIO(b"abc"), file):
            with opened(source) as path:
                assert path.read_bytes() == b"abc"
            assert not path.parent.exists()
    with opened(str(tmp_path / "clip")) as path:
        assert path == tmp_path / "clip"
    with opened(RAMP, 8_000) as samples:
        assert isinstance(samples, Samples) and samples.sample_rate == 8_000


def test_bytes_that_are_none_and_closed_and_text_files_are_sentences(tmp_path):
    closed = io.BytesIO(b"abc")
    closed.close()
    for source, words in ((b"", "empty"), (closed, "closed file"), (io.StringIO("abc"), "binary mode")):
        with pytest.raises(AudioError, match=words), opened(source):
            pass
    for source in ("clip.wav", Path("clip.wav"), b"abc"):
        with pytest.raises(AudioError, match="leave sample_rate out"), opened(source, 16_000):
            pass
    with pytest.raises(AudioError, match="The recording in memory is not audio"), opened(b"abc") as path:
        raise AudioError(f"'{path}' is not audio.")
