"""Random channels: seeded, finite, and each one does what its name says."""

import inspect

import numpy as np
import pytest
from conftest import babble
from scipy.signal import butter, fftconvolve, sosfilt

from deepfake_audio.examples.channels import (
    BACKGROUNDS,
    CODECS,
    FFMPEG_CODECS,
    PACKET_SAMPLES,
    at_other_level,
    augment_window,
    coded,
    coloured_noise,
    in_room,
    lose_packets,
    resampled,
    through_channel,
    through_codec,
    with_background,
)
from deepfake_audio.settings import AugmentSettings, FeatureSettings
from deepfake_audio.sound.reading import quantise, read_audio

FEATURES = FeatureSettings()
CHANCES = ("shift_chance", "equaliser_chance", "noise_chance", "floor_chance", "band_limit_chance", "mask_chance")
OFF = dict.fromkeys(CHANCES, 0.0)


def only(**settings):
    return AugmentSettings(**(OFF | settings))


def window(seed=0, frames=300):
    """Make loud and quiet frames between -70 and -20 dB."""
    rng = np.random.default_rng(seed)
    loud = np.where(np.arange(frames) // 30 % 2, -30.0, -70.0)
    return (loud[:, None] + rng.uniform(0, 10, (frames, FEATURES.mel_bands))).astype(np.float16)


def augmented(settings, seed=0, values=None):
    values = window() if values is None else values
    return augment_window(values, settings, FEATURES, np.random.default_rng(seed))


def test_same_seed_same_channel():
    settings = AugmentSettings()
    assert np.array_equal(augmented(settings, 5), augmented(settings, 5))
    different = {augmented(settings, seed).tobytes() for seed in range(12)}
    assert len(different) > 8


def test_nothing_happens_when_nothing_is_drawn():
    assert np.array_equal(augmented(only()), window().astype(np.float32))


def test_the_window_that_came_in_is_left_as_it_was():
    for kind in (np.float16, np.float32):
        values = window().astype(kind)
        before = values.copy()
        for seed in range(10):
            augmented(AugmentSettings(), seed, values)
        assert np.array_equal(values, before)


@pytest.mark.parametrize("level_db", [-100.0, -40.0, 20.0])
def test_digital_silence_and_constant_windows_stay_finite(level_db):
    values = np.full((300, FEATURES.mel_bands), level_db, dtype=np.float16)
    settings = AugmentSettings(**dict.fromkeys(CHANCES, 1.0))
    for seed in range(20):
        result = augmented(settings, seed, values)
        assert result.dtype == np.float32
        assert result.shape == values.shape
        assert np.isfinite(result).all()


def test_noise_fills_the_pauses_and_leaves_what_is_loud():
    values = window().astype(np.float32)
    settings = only(noise_chance=1.0, least_noise_db=30.0, most_noise_db=30.0)
    for seed in range(10):
        change = augmented(settings, seed) - values
        assert change.min() > -1e-4  # powers add
        quiet, loud = values[:, 0] < -50, values[:, 0] > -50
        # In its loudest band, at one end: noise 30 dB under the peak of -20 dB, over a floor of -70 to -60 dB.
        assert 11 < max(change[quiet, 0].mean(), change[quiet, -1].mean()) < 19
        assert change[loud].mean() < 1.0


def test_the_loudest_noise_is_louder_than_the_quietest():
    floors = [
        augmented(only(noise_chance=1.0, least_noise_db=db, most_noise_db=db))[:30].mean(axis=0).max()
        for db in (20, 30, 40)
    ]
    assert floors[0] - floors[1] == pytest.approx(10.0, abs=1.0)
    assert floors[1] > floors[2] + 5


def test_a_band_limit_takes_the_top_and_nothing_below_telephone_speech():
    values = window().astype(np.float32)
    for seed in range(10):
        change = augmented(only(band_limit_chance=1.0), seed) - values
        per_band = change.mean(axis=0)
        assert np.ptp(change, axis=0).max() < 1e-4  # the same in every frame
        assert (per_band[band_centres_hz() < 3400] == 0).all()
        assert (np.diff(per_band) <= 1e-4).all()  # deeper and deeper
        assert per_band.min() >= -60.001
    depths = [(augmented(only(band_limit_chance=1.0), seed) - values).min() for seed in range(10)]
    assert min(depths) == pytest.approx(-60.0, abs=0.01)


def test_band_limits_start_where_they_were_drawn():
    values = window().astype(np.float32)
    deepest = [(augmented(only(band_limit_chance=1.0), seed) - values).mean(axis=0) for seed in range(200)]
    first_cut = np.array([np.argmax(change < -0.1) for change in deepest])
    centres = band_centres_hz()[first_cut[first_cut > 0]]
    assert centres.min() == pytest.approx(3400, abs=200)
    assert centres.max() > 7000


def band_centres_hz():
    from librosa import mel_frequencies

    return mel_frequencies(n_mels=FEATURES.mel_bands + 2, fmin=FEATURES.lowest_hz, fmax=FEATURES.highest_hz)[1:-1]


def test_an_equaliser_is_a_smooth_curve_that_stands_still():
    values = window().astype(np.float32)
    spread = []
    for seed in range(30):
        change = augmented(only(equaliser_chance=1.0, equaliser_db=3.0), seed) - values
        assert np.ptp(change, axis=0).max() < 1e-4
        assert np.abs(np.diff(change[0])).max() < 2.0
        spread.append(change[0, 0])
    assert np.std(spread) == pytest.approx(3.0, abs=1.0)


def test_a_mask_covers_one_run_of_bands_with_the_mean():
    values = window().astype(np.float32)
    widths = []
    for seed in range(40):
        result = augmented(only(mask_chance=1.0, mask_share=0.15), seed)
        masked = np.flatnonzero((result != values).any(axis=0))
        assert (result[:, masked] == values.mean()).all()
        assert masked[-1] - masked[0] + 1 == len(masked)
        widths.append(len(masked))
    assert min(widths) >= 1
    assert 8 <= max(widths) <= 12


def test_how_often_follows_the_chance():
    values = window(frames=20).astype(np.float32)
    rng = np.random.default_rng(3)
    changed = [
        not np.array_equal(augment_window(values, only(equaliser_chance=0.3), FEATURES, rng), values)
        for _ in range(500)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.07)


def test_a_channel_cannot_know_the_class():
    assert list(inspect.signature(augment_window).parameters) == ["window", "settings", "features", "rng"]


def test_a_shift_moves_the_whole_spectrum_by_at_most_what_was_said():
    values = np.tile(np.arange(80.0), (10, 1))
    moved = []
    for seed in range(50):
        change = augment_window(
            values, only(shift_chance=1.0, most_shift_bands=3.0), FEATURES, np.random.default_rng(seed)
        )
        change = (change - values)[:, 5:75]
        assert np.ptp(change) < 1e-4, "every band moves alike"
        moved.append(change.mean())
    assert -3 <= min(moved) < -2 and 2 < max(moved) <= 3


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_codec_changes_speech_but_not_when_it_is_said(codec, starter, monkeypatch):
    monkeypatch.setattr("deepfake_audio.examples.channels.CODECS", {codec: CODECS[codec]})
    monkeypatch.setattr("deepfake_audio.examples.channels.FFMPEG_CODECS", {})
    samples = read_audio(starter / "real" / "libritts-007.flac")
    for seed in range(4):
        received = through_codec(samples, np.random.default_rng(seed))
        assert received.dtype == np.float32 and received.shape == samples.shape
        assert np.array_equal(received, quantise(received))
        assert not np.array_equal(received, samples)
        assert np.corrcoef(received, samples)[0, 1] > 0.9, "one sample of delay at 8 kHz would already cost more"


def test_codecs_are_drawn_by_the_seed_and_take_silence_and_short_clips():
    noise = np.random.default_rng(1).normal(0, 0.1, 4000).astype(np.float32)
    assert np.array_equal(
        through_codec(noise, np.random.default_rng(7)), through_codec(noise, np.random.default_rng(7))
    )
    for seed in range(20):
        for samples in (np.zeros(8000, np.float32), noise[:200]):
            assert np.isfinite(through_codec(samples, np.random.default_rng(seed))).all()


def decibels(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))


@pytest.mark.parametrize("codec", list(FFMPEG_CODECS))
def test_a_codec_of_ffmpeg_leaves_the_speech_band_in_its_place_at_every_bit_rate(codec, starter):
    samples = read_audio(starter / "real" / "libritts-017.flac")
    _, rates, bit_rates = FFMPEG_CODECS[codec]
    band = butter(4, [200, 3000], "band", fs=16000, output="sos")
    taken = []
    for kbit in (bit_rates[0], bit_rates[-1]):
        received, needed = coded(samples, codec, rates[0], kbit_per_second=kbit)
        assert received.shape == samples.shape and np.array_equal(received, quantise(received))
        assert np.corrcoef(sosfilt(band, received), sosfilt(band, samples))[0, 1] > 0.7
        taken.append(needed)
    assert taken[0] < taken[1], "what was asked for is what the file took"


@pytest.mark.parametrize("name", list(BACKGROUNDS))
def test_a_background_has_its_length_is_drawn_by_its_seed_and_as_loud_as_was_drawn(name, monkeypatch):
    for length in (400, 16000, 70000):
        sound = BACKGROUNDS[name](length, np.random.default_rng(length))
        assert sound.shape == (length,) and np.isfinite(sound).all()
        assert np.array_equal(sound, BACKGROUNDS[name](length, np.random.default_rng(length)))
    monkeypatch.setattr("deepfake_audio.examples.channels.BACKGROUNDS", {name: BACKGROUNDS[name]})
    voice = babble(2.0, 120, 1)
    added = [with_background(voice, np.random.default_rng(seed)) - voice for seed in range(30)]
    below = [decibels(voice) - decibels(sound) for sound in added if sound.any()]
    assert len(below) > 20 and 5 <= min(below) < 12 and 28 < max(below) <= 35.1


def test_hum_is_the_mains_and_tones_are_those_of_a_telephone():
    def loudest_hertz(sound, count):
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        return np.argsort(spectrum)[-count:] * 16000 / len(sound)

    for seed in range(8):
        hum = loudest_hertz(BACKGROUNDS["hum"](64000, np.random.default_rng(seed)), 1)
        assert min(hum % 50, 50 - hum % 50, hum % 60, 60 - hum % 60) < 0.02 * hum
    keys = loudest_hertz(BACKGROUNDS["key tones"](64000, np.random.default_rng(3)), 2)
    known = np.array([697, 770, 852, 941, 1209, 1336, 1477, 1633])
    assert all(np.abs(known - hertz).min() < 15 for hertz in keys)


def test_noise_comes_in_different_colours():
    def high(sound):
        return np.abs(np.fft.rfft(sound))[4000:].mean() / np.abs(np.fft.rfft(sound)).mean()

    white, brown = (coloured_noise(16000, fall, np.random.default_rng(1)) for fall in (0.0, 6.0))
    assert high(white) == pytest.approx(1.0, abs=0.05) and high(brown) < 0.4


def test_another_level_is_quieter_or_clipped():
    voice = babble(2.0, 120, 1)
    peaks = [np.abs(at_other_level(voice, np.random.default_rng(seed))).max() for seed in range(20)]
    assert min(peaks) < 0.1 and max(peaks) >= 0.9999
    clipped = [np.mean(np.abs(at_other_level(voice, np.random.default_rng(seed))) > 0.999) for seed in range(20)]
    assert max(clipped) > 0.01


def test_a_rate_on_the_way_keeps_length_and_place(starter):
    voice = read_audio(starter / "real" / "libritts-007.flac")
    for seed in range(8):
        received = resampled(voice, np.random.default_rng(seed))
        assert received.shape == voice.shape and np.corrcoef(received, voice)[0, 1] > 0.9


def test_lost_packets_are_silent_or_repeat_the_one_before():
    voice = babble(2.0, 120, 1)
    kinds = set()
    for seed in range(8):
        received = lose_packets(voice, 0.1, np.random.default_rng(seed)).reshape(-1, PACKET_SAMPLES)
        changed = np.flatnonzero((received != voice.reshape(-1, PACKET_SAMPLES)).any(axis=1))
        assert 2 <= len(changed) <= 25
        kinds |= {bool(received[packet].any()) for packet in changed[1:]}
    assert kinds == {True, False}


def test_a_floor_lifts_only_what_lies_far_under_the_peak():
    values = window().astype(np.float32)
    values[:100] -= 50
    lifted = augmented(only(floor_chance=1.0), 1, values)
    assert (lifted >= values).all() and (lifted[100:] == values[100:]).all()
    assert 45 <= values.max() - lifted.min() <= 80


def test_a_room_rings_after_the_sound_and_never_before():
    click = np.zeros(16000, np.float32)
    click[4000] = 0.5
    for seed in range(10):
        wet = in_room(click, np.random.default_rng(seed))
        assert np.abs(wet[:3999]).max() < 1e-6
        assert np.abs(wet).argmax() == 4000
        assert decibels(wet) == pytest.approx(decibels(click), abs=0.1)
        assert decibels(wet[4001:5600]) > decibels(wet[13700:]) + 40


def test_a_channel_is_drawn_by_its_seed_and_leaves_speech_in_its_place(starter):
    voice = read_audio(starter / "real" / "libritts-007.flac")
    sent = [through_channel(voice, np.random.default_rng(seed)) for seed in range(12)]
    assert all(np.array_equal(sent[seed], through_channel(voice, np.random.default_rng(seed))) for seed in (0, 5))
    assert len({received.tobytes() for received in sent}) > 8
    for received in sent:
        assert received.shape == voice.shape and received.dtype == np.float32
        similarity = fftconvolve(received, voice[::-1])
        assert abs(int(similarity.argmax()) - (len(voice) - 1)) <= 1
