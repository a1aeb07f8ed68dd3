"""Overviews that stay small however long the recording is."""

import io

import numpy as np
import pytest
import soundfile

from deepfake_audio.features.draw import MOST_COLUMNS, Columns, Glimpse, thin_out


@pytest.mark.parametrize("rows", [0, 1, 5, 2047, 2048, 2049, 4096, 10_000, 100_001])
@pytest.mark.parametrize("block", [1000, 7777, 200_000])
def test_columns_are_the_merged_rows_however_they_come(rows, block):
    values = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    columns = Columns(np.maximum.reduce)
    for start in range(0, rows, block):
        columns.add(values[start : start + block])
    kept, group = columns.all(), columns.rows_per_column
    assert len(kept) <= 2 * MOST_COLUMNS and len(kept) == -(-rows // group)
    assert group == 1 or len(kept) >= MOST_COLUMNS
    expected = [values[start : start + group].max(axis=0) for start in range(0, rows, group)]
    np.testing.assert_array_equal(kept, np.array(expected).reshape(kept.shape))


def test_a_waveform_has_the_extremes_of_each_column():
    samples = np.sin(np.arange(100_000) / 50).astype(np.float32)
    glimpse = Glimpse(16_000, 0.01)
    for block in np.array_split(samples, 13):
        glimpse.hear(block)
    extremes, seconds = glimpse.waveform()
    assert extremes.min() == samples.min() and extremes.max() == samples.max()
    assert (len(extremes) - 1) * seconds < 100_000 / 16_000 <= len(extremes) * seconds
    assert glimpse.mp3() == b"" and glimpse.seconds_to_listen == 0


@pytest.mark.parametrize(("listen", "heard"), [(1.0, 1.0), (100.0, 3.0)])
def test_the_beginning_can_be_listened_to(listen, heard):
    samples = (0.3 * np.sin(np.arange(48_000) / 10)).astype(np.float32)
    glimpse = Glimpse(16_000, 0.01, listen)
    for block in np.array_split(samples, 7):
        glimpse.hear(block)
    assert glimpse.seconds_to_listen == pytest.approx(heard)
    again, rate = soundfile.read(io.BytesIO(glimpse.mp3()))
    assert rate == 16_000 and len(again) / rate == pytest.approx(heard, abs=0.2)
    assert np.abs(again[8000:15_000]).max() == pytest.approx(0.3, abs=0.05)


def test_a_timeline_is_thinned_to_means():
    values, group = thin_out(np.arange(10.0), most=4)
    assert group == 3 and values.tolist() == [1, 4, 7, 9]
    assert thin_out(np.arange(4.0), most=4)[0].tolist() == [0, 1, 2, 3]
    assert thin_out(np.zeros(0))[0].tolist() == []


def test_a_glimpse_that_nobody_listens_to_ends_quietly(capfd):
    glimpse = Glimpse(16_000, 0.01, 5.0)
    glimpse.hear(np.zeros(16_000, dtype=np.float32))
    del glimpse
    assert "Traceback" not in capfd.readouterr().err
