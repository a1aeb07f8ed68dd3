"""A spectrogram, in pieces or not -> windows -> a timeline."""

import tracemalloc

import numpy as np
import pytest
import tiny

from deepfake_audio.features.windows import cut_window, normalise_window, window_step
from deepfake_audio.judging.scanner import BATCH_WINDOWS, Scanner, scan_features

SETTINGS = tiny.settings()


def frame_energy(windows):
    """Answer like a network whose timeline follows the input, and whose verdict counts the windows."""
    per_label = windows.reshape(len(windows), SETTINGS.window.label_frames, -1).mean(axis=2)
    return {
        "verdict": np.tile(np.float32([0.6, 0.3, 0.1]), (len(windows), 1)),
        "timeline": (1 / (1 + np.exp(-per_label)))[..., None].astype(np.float32),
        "boundaries": np.zeros((*per_label.shape, 1), dtype=np.float32),
    }


def spectrogram(frames):
    return np.random.default_rng(frames).normal(-40, 10, (frames, SETTINGS.features.mel_bands)).astype(np.float16)


@pytest.mark.parametrize("frames", [1, 2, 21, 47, 48, 49, 50, 72, 97, 1000, 5001])
def test_every_timeline_frame_of_any_length_gets_a_value(frames):
    answer = scan_features(spectrogram(frames), SETTINGS, frame_energy, frames / 100, 1.0)
    assert answer.timeline.shape == (-(-frames // SETTINGS.window.frames_per_label),)
    assert np.isfinite(answer.timeline).all() and (answer.timeline > 0).all() and (answer.timeline < 1).all()
    assert len(answer.verdicts) == len(answer.windows_of_frames)
    covered = np.zeros(len(answer.timeline), dtype=int)
    for start, end in answer.windows_of_frames:
        covered[start:end] += 1
    assert covered.min() >= 1


def test_where_one_window_answers_its_value_stands_and_overlaps_are_weighted_means():
    mel, window = spectrogram(120), SETTINGS.window
    answer = scan_features(mel, SETTINGS, frame_energy, 1.2, 1.0)
    starts = answer.windows_of_frames[:, 0] * window.frames_per_label
    single = [
        frame_energy(normalise_window(cut_window(mel, s, window.frames), SETTINGS.features)[None])["timeline"][0, :, 0]
        for s in starts
    ]
    expected = np.zeros(len(answer.timeline))
    for frame in range(len(expected)):
        values, trusts = [], []
        for (start, _), told in zip(answer.windows_of_frames, single, strict=True):
            inside = frame - start
            if 0 <= inside < window.label_frames:
                values.append(told[inside])
                trusts.append(min(inside + 1, window.label_frames - inside))
        expected[frame] = np.average(values, weights=trusts)
    np.testing.assert_allclose(answer.timeline, expected, atol=1e-5)
    np.testing.assert_allclose(answer.timeline[0], single[0][0], atol=1e-5)
    np.testing.assert_allclose(answer.timeline[-1], single[-1][-1], atol=1e-5)


def test_windows_are_asked_in_batches_of_bounded_size():
    sizes = []

    def predict(windows):
        sizes.append(len(windows))
        return frame_energy(windows)

    answer = scan_features(spectrogram(6000), SETTINGS, predict, 60.0, 50.0)
    assert max(sizes) <= 32 and sum(sizes) == len(answer.verdicts) > 200


@pytest.mark.parametrize("frames", [1, 48, 49, 1000, 5001])
@pytest.mark.parametrize("piece", [1, 7, 300, 4000])
def test_the_pieces_that_a_spectrogram_comes_in_do_not_matter(frames, piece):
    mel = spectrogram(frames)
    whole = scan_features(mel, SETTINGS, frame_energy, frames / 100, 1.0)
    scanner = Scanner(SETTINGS, frame_energy)
    for start in range(0, frames, piece):
        scanner.push(mel[start : start + piece])
        assert len(scanner._spectrogram) <= 3 * SETTINGS.window.frames + piece
        assert len(scanner._total) <= (BATCH_WINDOWS + 2) * SETTINGS.window.label_frames
    pieces = scanner.finish(frames / 100, 1.0)
    for name in ("verdicts", "timeline", "windows_of_frames", "levels"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-6, err_msg=name)
    assert len(pieces.levels) == len(pieces.timeline)


def test_a_scanner_keeps_few_bytes_per_timeline_frame():
    mel, kept = spectrogram(2000), []
    scanner = Scanner(SETTINGS, frame_energy)
    tracemalloc.start()
    try:
        for piece in range(8):
            if piece in (1, 7):
                kept.append(tracemalloc.get_traced_memory()[0])
            scanner.push(mel)
    finally:
        tracemalloc.stop()
    frames = 6 * len(mel) / SETTINGS.window.frames_per_label
    windows = 6 * len(mel) / window_step(SETTINGS.window)
    # Four bytes each for timeline, boundaries, level, some more for growing; a verdict, its start, an array's head.
    waiting = BATCH_WINDOWS * SETTINGS.window.frames * SETTINGS.features.mel_bands * 4
    assert kept[1] - kept[0] < 14 * frames + 80 * windows + waiting
