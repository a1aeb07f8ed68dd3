"""Spectrograms as pictures."""

import numpy as np
import pytest
from matplotlib.image import imread

from deepfake_audio.features import axes


@pytest.mark.parametrize("frames", [np.full((30, 80), -100.0), np.full((30, 80), -100.0, dtype=np.float16)])
def test_silence_is_dark(tmp_path, frames):
    (tmp_path / "mel.png").write_bytes(axes.mel_picture(frames))
    assert imread(tmp_path / "mel.png")[..., :3].max() < 0.1
    (tmp_path / "mel.png").write_bytes(axes.mel_picture(frames + np.linspace(0, 80, 30)[:, None]))
    assert imread(tmp_path / "mel.png")[..., :3].max() > 0.9


def test_ticks_lie_between_the_bands_that_they_name():
    ticks = dict(axes.mel_ticks(80, 8000))
    assert list(ticks) == [0.25, 0.5, 1, 2, 4, 8] and ticks[8] == 79.5
    # Slaney's scale is straight up to 1 kHz: 15 of its units, of 45.2 up to 8 kHz.
    assert ticks[1] == pytest.approx(81 * 15 / 45.2 - 1, abs=0.1) and ticks[0.5] == pytest.approx(ticks[1] / 2, abs=0.6)
    assert [khz for khz, _ in axes.mel_ticks(40, 3000)] == [0.25, 0.5, 1, 2]
