"""The log-mel spectrogram against numbers and physics; windows against what they must cover."""

import numpy as np
import pytest

from deepfake_audio.features.log_mel import SMALLEST_POWER, LogMelStream, log_mel
from deepfake_audio.features.speech import SPEECH_RANGE_DB, SpeechMeter, _highest_median, speech_seconds
from deepfake_audio.features.windows import cut_window, normalise_window, window_starts
from deepfake_audio.settings import SAMPLE_RATE, FeatureSettings, WindowSettings
from deepfake_audio.sound.reading import read_audio

SETTINGS = FeatureSettings(
    sample_rate=16_000,
    fft_samples=512,
    hop_samples=160,
    mel_bands=80,
    lowest_hz=0.0,
    highest_hz=8000.0,
    dynamic_range_db=80.0,
)


def sweep(seconds=1.0):
    """Make a tone that climbs from 100 Hz to 7.5 kHz over a little noise: every band and frame has something to say."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.5 * np.sin(2 * np.pi * (100 * at + 3700 * at**2 / seconds))
    noise = np.random.RandomState(1).normal(0.0, 0.003, len(at))  # numpy never changes what this one draws
    return (tone + noise).astype(np.float32)


# Computed once from sweep() with the settings above (librosa 0.11).
GOLDEN = {
    (0, 0): 8.35,
    (3, 2): -22.95,
    (10, 12): -39.31,
    (25, 40): -23.73,
    (25, 60): -41.12,
    (50, 59): -12.32,
    (50, 79): -42.31,
    (75, 70): 4.74,
    (90, 0): -38.81,
    (97, 77): 10.21,
    (100, 79): 3.97,
}


def test_golden_values():
    spectrogram = log_mel(sweep(), SETTINGS)
    for (frame, band), decibels in GOLDEN.items():
        assert spectrogram[frame, band] == pytest.approx(decibels, abs=0.15), (frame, band)


@pytest.mark.parametrize(
    "change",
    [{"fft_samples": 400}, {"hop_samples": 161}, {"mel_bands": 79}, {"lowest_hz": 20.0}, {"highest_hz": 7900.0}],
)
def test_golden_values_would_notice_a_changed_setting(change):
    values = {name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__} | change
    spectrogram = log_mel(sweep(), FeatureSettings(**values))
    differences = [
        abs(float(spectrogram[min(frame, len(spectrogram) - 1), min(band, spectrogram.shape[1] - 1)]) - decibels)
        for (frame, band), decibels in GOLDEN.items()
    ]
    assert max(differences) > 0.5


@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (159, 1), (160, 2), (16_000, 101), (16_159, 101)])
def test_shape(samples, frames):
    spectrogram = log_mel(sweep(1.1)[:samples], SETTINGS)
    assert spectrogram.shape == (frames, 80)
    assert spectrogram.dtype == np.float16


def test_silence_is_minus_100_db_and_a_tone_is_where_and_as_loud_as_it_should_be():
    assert (log_mel(np.zeros(8000, np.float32), SETTINGS) == -100).all()
    at = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    loud, quiet = (log_mel(level * np.sin(2 * np.pi * 1000 * at), SETTINGS)[20:80] for level in (0.8, 0.08))
    # 1 kHz is 15 of the 45.2 mel up to 8 kHz on Slaney's scale.
    assert set(loud.argmax(axis=1)) == {26}
    assert np.abs(loud[:, 26] - quiet[:, 26] - 20).max() < 0.1


def test_a_frame_is_centred_on_its_sample():
    samples = np.zeros(SAMPLE_RATE, np.float32)
    samples[50 * SETTINGS.hop_samples] = 1.0
    loudness = log_mel(samples, SETTINGS).astype(np.float32).mean(axis=1)
    assert loudness.argmax() == 50
    assert loudness[49] == pytest.approx(loudness[51], abs=0.1)
    assert (np.flatnonzero(loudness > -100) == np.arange(49, 52)).all()  # 512 samples reach 1.6 hops either way


def test_a_clip_is_the_same_whatever_is_computed_before_it(starter):
    clip = read_audio(min((starter / "real").glob("*.flac")))
    alone = log_mel(clip, SETTINGS)
    log_mel(sweep(), SETTINGS)
    log_mel(0.001 * sweep(), SETTINGS)
    assert np.array_equal(log_mel(clip, SETTINGS), alone)
    assert np.array_equal(log_mel(clip.astype(np.float64), SETTINGS), alone)
    # A loud beginning does not change the rest: nothing is measured against the maximum.
    louder = clip.copy()
    louder[:1600] = 0.9
    assert np.array_equal(log_mel(louder, SETTINGS)[20:], alone[20:])


def test_a_window_does_not_depend_on_level_or_a_fixed_response():
    window = log_mel(sweep(), SETTINGS)
    normalised = normalise_window(window, SETTINGS)
    quieter = normalise_window(log_mel(0.1 * sweep(), SETTINGS), SETTINGS)
    assert np.abs(quieter - normalised).max() < 0.01
    assert np.abs(normalised.mean(axis=0)).max() < 1e-5
    assert normalised.dtype == np.float32
    flat = np.maximum(window.astype(np.float32), window.max() - 80.0)
    response = np.linspace(0, -6, 80, dtype=np.float32)
    shaped = normalise_window(flat + response, FeatureSettings(dynamic_range_db=200.0))
    assert np.abs(shaped - normalised).max() < 1e-4


def test_a_window_is_floored_and_scaled():
    window = np.full((4, 80), -100.0)
    window[0] = 0.0
    # Floor -80: mean -60, so +60 and -20 dB, in units of 20 dB.
    assert np.unique(normalise_window(window, SETTINGS)).tolist() == [-1.0, 3.0]
    assert (normalise_window(np.full((300, 80), -100.0), SETTINGS) == 0).all()


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("frames", [1, 299, 300, 301, 302, 450, 599, 600, 1001])
def test_windows_cover_every_frame_and_start_on_timeline_frames(frames, overlap):
    window = WindowSettings(frames=300, frames_per_step=4, labels_per_step=2, overlap=overlap)
    starts = window_starts(frames, window)
    covered = np.zeros(frames, dtype=int)
    for start in starts:
        covered[start : start + 300] += 1
    assert covered.min() >= 1
    assert (starts % window.frames_per_label == 0).all()
    assert (np.diff(starts) > 0).all()
    assert starts[0] == 0
    assert starts[-1] + 300 < max(frames, 300) + window.frames_per_label


def test_windows_overlap_as_much_as_they_should():
    window = WindowSettings(frames=300, frames_per_step=4, labels_per_step=2, overlap=0.5)
    assert window_starts(1000, window).tolist() == [0, 150, 300, 450, 600, 700]
    assert window_starts(300, window).tolist() == [0]
    odd = WindowSettings(frames=300, frames_per_step=4, labels_per_step=1, overlap=0.49)
    assert window_starts(700, odd).tolist() == [0, 152, 304, 400]


def test_a_window_that_is_too_short_is_tiled():
    spectrogram = np.arange(10).reshape(5, 2)
    assert cut_window(spectrogram, 1, 3).tolist() == [[2, 3], [4, 5], [6, 7]]
    assert cut_window(spectrogram, 3, 5)[:, 0].tolist() == [6, 8, 6, 8, 6]
    assert cut_window(spectrogram[:1], 0, 4)[:, 0].tolist() == [0, 0, 0, 0]
    labels = np.array([0, 0, 1], dtype=np.int8)
    assert cut_window(labels, 0, 7).tolist() == [0, 0, 1, 0, 0, 1, 0]


def test_speech_seconds():
    rng = np.random.default_rng(0)
    assert speech_seconds(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE) == 0.0
    assert speech_seconds(np.zeros(0, np.float32), SAMPLE_RATE) == 0.0
    assert speech_seconds(rng.uniform(-0.0009, 0.0009, SAMPLE_RATE).astype(np.float32), SAMPLE_RATE) == 0.0
    bursts = rng.normal(0, 1e-4, 4 * SAMPLE_RATE).astype(np.float32)
    for start in (0.5, 2.0):
        bursts[round(start * SAMPLE_RATE) : round((start + 0.6) * SAMPLE_RATE)] += rng.normal(0, 0.1, 9600)
    assert speech_seconds(bursts, SAMPLE_RATE) == pytest.approx(1.2, abs=0.15)
    for quieter in (0.1, 1e-2, 1e-3):
        found = speech_seconds(quieter * bursts, SAMPLE_RATE)
        assert found == pytest.approx(speech_seconds(bursts, SAMPLE_RATE), abs=0.15), quieter
    steady = rng.normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    assert speech_seconds(steady, SAMPLE_RATE) == pytest.approx(2.0, abs=0.05)
    assert 0 < speech_seconds(steady[:100], SAMPLE_RATE) <= 100 / SAMPLE_RATE


@pytest.mark.parametrize("bang_seconds", [0.0001, 0.01, 0.08])
def test_a_loud_click_does_not_make_a_pause_of_the_speech_around_it(bang_seconds):
    rng = np.random.default_rng(0)
    speech = rng.normal(0, 1e-5, 6 * SAMPLE_RATE).astype(np.float32)
    speech[SAMPLE_RATE : 3 * SAMPLE_RATE] += rng.normal(0, 0.003, 2 * SAMPLE_RATE)
    bang = slice(4 * SAMPLE_RATE, 4 * SAMPLE_RATE + max(1, round(bang_seconds * SAMPLE_RATE)))
    clicked = speech.copy()
    clicked[bang] = 0.99
    assert speech_seconds(clicked, SAMPLE_RATE) == pytest.approx(speech_seconds(speech, SAMPLE_RATE), abs=0.2)
    alone = rng.normal(0, 1e-5, 6 * SAMPLE_RATE).astype(np.float32)
    alone[bang] = 0.99
    assert 0 < speech_seconds(alone, SAMPLE_RATE) < 0.2, "a click in silence makes no speech of the silence"


@pytest.mark.parametrize("samples", [1, 159, 160, 511, 512, 513, 20_000, 700_001])
@pytest.mark.parametrize("piece", [977, 16_000, 400_000])
def test_the_pieces_that_a_recording_comes_in_do_not_matter(samples, piece):
    rng = np.random.default_rng(samples)
    sound = (0.1 * rng.normal(size=samples) * np.sin(np.arange(samples) / 20_000) ** 8).astype(np.float32)
    stream, meter = LogMelStream(FeatureSettings()), SpeechMeter(SAMPLE_RATE)
    frames = []
    for start in range(0, samples, piece):
        frames.append(stream.push(sound[start : start + piece]))
        meter.push(sound[start : start + piece])
    frames = np.concatenate([*frames, stream.finish()])
    np.testing.assert_array_equal(frames, log_mel(sound, FeatureSettings()))
    assert len(frames) == 1 + samples // 160
    assert meter.seconds() == speech_seconds(sound, SAMPLE_RATE)


def test_long_recordings_have_the_frames_that_librosa_gives():
    import librosa

    sound = np.random.default_rng(0).normal(0, 0.1, 40 * SAMPLE_RATE).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=sound, sr=SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=80, fmin=0, fmax=8000, pad_mode="constant"
    )
    expected = librosa.power_to_db(power, amin=SMALLEST_POWER, top_db=None).T.astype(np.float16)
    found = log_mel(sound, FeatureSettings())
    # Nearly always the same number, else its neighbour in half precision.
    assert (found == expected).mean() > 0.999
    np.testing.assert_array_max_ulp(found, expected, 1)


def test_the_highest_median_is_that_of_scipy():
    from scipy.ndimage import median_filter

    rng = np.random.default_rng(0)
    for count in (1, 2, 19, 40_000):
        for size in (1, 2, 14, 19):
            if size <= count:
                values = rng.normal(size=count)
                assert _highest_median(values, size) == median_filter(values, size).max()


def test_speech_is_what_librosa_does_not_take_for_silence():
    from librosa.effects import split

    rng = np.random.default_rng(0)
    for seconds in (0.5, 3.21, 12.0):
        sound = rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
        sound *= np.sin(np.arange(len(sound)) / 5000) ** 10
        spans = split(sound, top_db=SPEECH_RANGE_DB, frame_length=1024, hop_length=256)
        assert speech_seconds(sound, SAMPLE_RATE) == pytest.approx((spans[:, 1] - spans[:, 0]).sum() / SAMPLE_RATE)
