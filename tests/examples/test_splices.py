"""Splices: exact to the sample, replayable, and the same for every class."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import soundfile

from deepfake_audio.corpus.clips import Clip
from deepfake_audio.corpus.recognise import find_clips
from deepfake_audio.errors import AudioError, CorpusError
from deepfake_audio.examples.splices import (
    CROSSFADE_SHAPES,
    KINDS,
    SAMPLES_PER_MS,
    SHORTEST_PART_SECONDS,
    Crossfade,
    Part,
    SplicePlan,
    Splicer,
    build_splices,
    cached_reader,
    render,
)
from deepfake_audio.settings import SAMPLE_RATE, HybridSettings
from deepfake_audio.sound.decoders import DecoderLost
from deepfake_audio.sound.reading import from_int16, read_audio, to_int16, write_flac

SETTINGS = HybridSettings()
LEVELS = {"up": 8000, "down": -8000}
LABELS = {"up": "Real", "down": "Fake"}


def constant(name: str) -> np.ndarray:
    """Give four seconds of one value per parent, so that the waveform shows who is heard when."""
    return np.full(4 * SAMPLE_RATE, LEVELS[name], dtype=np.int16)


def plan_of(lengths, crossfades, names=("up", "down"), kind="hybrid") -> SplicePlan:
    """Make a plan that takes its parts from `names` in turn."""
    parts = tuple(
        Part(name, LABELS[name], 100, 100 + length)
        for name, length in zip(itertools.cycle(names), lengths, strict=False)
    )
    return SplicePlan("x.flac", kind, "insert", parts, tuple(crossfades))


# Where a part takes over


@pytest.mark.parametrize("milliseconds", [2, 7, 30, 80])
@pytest.mark.parametrize("shape", CROSSFADE_SHAPES)
@pytest.mark.parametrize("names", [("up", "down"), ("down", "up")])
def test_boundaries_are_where_the_waveform_crosses(names, shape, milliseconds):
    overlap = 0 if shape == "hard" else milliseconds * SAMPLES_PER_MS
    plan = plan_of([10_007, 8_001, 9_003], [Crossfade(shape, overlap)] * 2, names)
    samples = render(plan, constant).astype(int)
    assert len(samples) == plan.samples == 10_007 + 8_001 + 9_003 - 2 * overlap
    assert plan.boundaries == (10_007 - overlap // 2, 10_007 + 8_001 - overlap - overlap // 2)
    sign = 1 if names[0] == "up" else -1
    for boundary, direction in zip(plan.boundaries, (sign, -sign), strict=True):
        around = samples * direction
        assert (around[boundary - 1000 : boundary] > 0).all()
        assert around[boundary] <= 1  # pydub's own fade is at zero just there
        assert (around[boundary + 1 : boundary + 1000] < 0).all()
        # Nothing outside of the overlap is touched.
        assert (around[boundary - 1000 : boundary - overlap // 2] == 8000).all()
        assert (around[boundary + overlap - overlap // 2 : boundary + 1000] == -8000).all()
    first, second = plan.boundaries
    assert plan.fake_spans == (((first, second),) if names[0] == "up" else ((0, first), (second, plan.samples)))


@pytest.mark.parametrize(
    ("shape", "quarter", "middle"),
    [
        ("linear", 1.0, 1.0),
        ("raised cosine", 1.0, 1.0),
        ("equal power", np.sin(np.pi / 8) + np.cos(np.pi / 8), np.sqrt(2)),
        ("logarithmic", 10**-0.5 + 10**-1.5, 0.2),
    ],
)
def test_shapes_are_what_they_are_called(shape, quarter, middle):
    plan = plan_of([8000, 8000], [Crossfade(shape, 1280)], ["up"], "real+real")
    heard = render(plan, constant) / 8000
    assert heard[8000 - 960] == pytest.approx(quarter, abs=0.01)
    assert heard[8000 - 640] == pytest.approx(middle, abs=0.01)
    assert heard[8000 - 320] == pytest.approx(quarter, abs=0.01)
    up, down = (
        render(plan_of([8000, 8000], [Crossfade(shape, 1280)], names), constant)[6720:8000].astype(int)
        for names in (("up", "down"), ("down", "up"))
    )
    assert np.abs(up + down).max() <= 2  # both directions alike


def test_shapes_differ():
    heard = {
        shape: render(plan_of([8000, 8000], [Crossfade(shape, 800)]), constant).tobytes()
        for shape in CROSSFADE_SHAPES[1:]
    }
    assert len(set(heard.values())) == len(CROSSFADE_SHAPES) - 1


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match="zigzag"):
        render(plan_of([8000, 8000], [Crossfade("zigzag", 160)]), constant)


def test_a_hard_crossfade_changes_nothing():
    ramp = np.arange(30_000, dtype=np.int16)
    parts = (Part("a", "Real", 11, 5_002), Part("a", "Fake", 7, 3_210), Part("a", "Real", 5_002, 20_001))
    plan = SplicePlan("x.flac", "hybrid", "insert", parts, (Crossfade("hard", 0), Crossfade("hard", 0)))
    assert np.array_equal(render(plan, lambda _: ramp), np.r_[ramp[11:5002], ramp[7:3210], ramp[5002:20001]])
    assert plan.fake_spans == ((4991, 8194),)


def test_neighbouring_fake_parts_are_one_span():
    parts = tuple(Part(n, LABELS[n], 0, 5000) for n in ("up", "down", "down", "up", "down"))
    plan = SplicePlan("x", "hybrid", "insert", parts, (Crossfade("linear", 320),) * 4)
    ends = plan.boundaries
    assert plan.fake_spans == ((ends[0], ends[2]), (ends[3], plan.samples))


def test_gain_is_in_decibels():
    plan = SplicePlan("x", "hybrid", "replace", (Part("up", "Real", 0, 5000, -20.0), Part("up", "Real", 0, 9)), ())
    plan = dataclasses.replace(plan, crossfades=(Crossfade("hard", 0),))
    assert set(render(plan, constant)[:5000].tolist()) == {800}
    loud = dataclasses.replace(plan, parts=(Part("down", "Real", 0, 5000, 20.0), plan.parts[1]))
    assert set(render(loud, constant)[:5000].tolist()) == {-32768}  # clipped, not wrapped around


def test_the_label_is_that_of_the_parts():
    assert plan_of([5000, 5000], [Crossfade("hard", 0)]).label == "Hybrid"
    control = plan_of([5000, 5000], [Crossfade("hard", 0)], ["up"], "real+real")
    assert (control.label, control.fake_spans) == ("Real", ())
    control = plan_of([5000, 5000], [Crossfade("linear", 160)], ["down"], "fake+fake")
    assert (control.label, control.fake_spans) == ("Fake", ((0, 9840),))


def test_a_plan_survives_json_on_one_line():
    plan = plan_of([5000, 5000, 5000], [Crossfade("linear", 160), Crossfade("hard", 0)])
    odd = dataclasses.replace(plan.parts[0], clip="set/ö\u2028\x85\n \udcff.wav", gain_db=-1.25)
    plan = dataclasses.replace(plan, parts=(odd, *plan.parts[1:]))
    line = plan.to_json()
    assert line.isascii()
    assert line.splitlines() == [line]
    assert SplicePlan.from_json(line) == plan


# What is drawn


@pytest.fixture(scope="module")
def parents(starter) -> list[Clip]:
    """Some real clips, the copies of their speakers, and other fakes."""
    clips = find_clips([starter])
    copies = [clip for clip in clips if clip.label == "Fake" and clip.speaker][:12]
    voices = {clip.speaker for clip in copies}
    real = [clip for clip in clips if clip.label == "Real"]
    real = [clip for clip in real if clip.speaker in voices][:20] + real[:20]
    fake = [clip for clip in clips if clip.label == "Fake" and not clip.speaker][::6]
    return list(dict.fromkeys(real + copies + fake))


@pytest.fixture(scope="module")
def read(parents):
    return cached_reader(parents)


def draw_many(clips, read, kind, count, settings=SETTINGS, seed=0) -> list[SplicePlan]:
    splicer = Splicer(clips, settings, read)
    drawn = [splicer.draw(kind, f"{n}.flac", np.random.default_rng([seed, n])) for n in range(count)]
    plans = [plan for plan in drawn if plan]
    assert len(plans) > 0.8 * count
    return plans


@pytest.fixture(scope="module")
def drawn(parents, read) -> dict[str, list[SplicePlan]]:
    return {kind: draw_many(parents, read, kind, 300) for kind in KINDS}


def test_every_plan_is_possible(drawn, parents, read):
    names = {clip.name: clip for clip in parents}
    for plan in itertools.chain(*drawn.values()):
        assert len(plan.crossfades) == len(plan.parts) - 1
        for part in plan.parts:
            assert part.label == names[part.clip].label
            assert 0 <= part.start < part.end <= len(read(part.clip))
        edges = (0, *plan.boundaries, plan.samples)
        assert (np.diff(edges) > 0).all()


def test_every_plan_replays_to_the_same_samples(drawn, read):
    for plan in itertools.chain(*(plans[:25] for plans in drawn.values())):
        samples = render(plan, read)
        assert samples.dtype == np.int16
        assert len(samples) == plan.samples
        assert np.array_equal(render(SplicePlan.from_json(plan.to_json()), read), samples)


def test_parts_sound_in_the_result_as_in_their_parents(drawn, read):
    for plan in drawn["hybrid"][:40]:
        samples, position = render(plan, read), 0
        overlaps = [0, *(crossfade.samples for crossfade in plan.crossfades), 0]
        for part, before, after in zip(plan.parts, overlaps[:-1], overlaps[1:], strict=True):
            position -= before
            length = part.end - part.start
            inner = samples[position + before : position + length - after].astype(float)
            parent = read(part.clip)[part.start + before : part.end - after] * 10 ** (part.gain_db / 20)
            assert np.abs(inner - np.clip(parent, -32768, 32767)).max() <= 1
            position += length
        assert position == len(samples)


def test_labels_and_spans_of_every_kind(drawn):
    for plan in drawn["hybrid"]:
        assert plan.label == "Hybrid"
        assert {part.label for part in plan.parts} == {"Real", "Fake"}
        assert 0 < sum(end - start for start, end in plan.fake_spans) < plan.samples
    for plan in drawn["real+real"]:
        assert (plan.label, plan.fake_spans) == ("Real", ())
    for plan in drawn["fake+fake"]:
        assert (plan.label, plan.fake_spans) == ("Fake", ((0, plan.samples),))
    assert all(plan.kind == kind for kind, plans in drawn.items() for plan in plans)


def test_hybrids_go_both_ways_and_the_base_stays_the_larger_part(drawn):
    bases = Counter(plan.parts[0].label for plan in drawn["hybrid"])
    assert min(bases.values()) > 0.35 * len(drawn["hybrid"])
    for plans in drawn.values():
        for plan in plans:
            base, spans = plan.parts[::2], plan.parts[1::2]
            assert len({part.clip for part in base}) == 1
            assert all(part.gain_db == 0.0 for part in base)
            assert all(part.label == base[0].label for part in base)
            assert len(plan.parts) == 2 * len(spans) + 1


def test_replacing_keeps_the_timeline_of_the_base_and_inserting_keeps_all_of_it(drawn, read):
    methods = Counter()
    for plan in itertools.chain(*drawn.values()):
        base, spans = plan.parts[::2], plan.parts[1::2]
        assert base[0].start == 0
        assert base[-1].end == len(read(base[0].clip))
        for left, span, right in zip(base[:-1], spans, base[1:], strict=True):
            gap = span.end - span.start if plan.method == "replace" else 0
            assert right.start == left.end + gap
        methods[plan.method] += 1
    assert set(methods) == {"replace", "insert"}
    assert min(methods.values()) > 0.3 * sum(methods.values())


def test_span_numbers_and_lengths(drawn):
    shortest, longest = (
        round(seconds * SAMPLE_RATE) for seconds in (SETTINGS.shortest_span_seconds, SETTINGS.longest_span_seconds)
    )
    for plans in drawn.values():
        numbers = Counter(len(plan.parts) // 2 for plan in plans)
        assert set(numbers) == set(range(1, SETTINGS.most_spans + 1))
        lengths = np.array([part.end - part.start for plan in plans for part in plan.parts[1::2]])
        assert shortest <= lengths.min() < 1.2 * shortest
        assert lengths.max() <= longest
        assert np.mean(lengths < 0.8 * SAMPLE_RATE) > 0.4  # words as well as phrases
        assert min(part.end - part.start for plan in plans for part in plan.parts) >= SHORTEST_PART_SECONDS * 16000


def test_lengths_follow_the_settings(parents, read):
    settings = dataclasses.replace(
        SETTINGS, shortest_span_seconds=0.3, longest_span_seconds=0.5, most_spans=1, longest_crossfade_seconds=0.01
    )
    plans = draw_many(parents, read, "hybrid", 100, settings)
    lengths = [(p.end - p.start) / SAMPLE_RATE for plan in plans for p in plan.parts[1::2]]
    assert {len(plan.parts) for plan in plans} == {3}
    assert 0.3 <= min(lengths) <= max(lengths) <= 0.5
    assert max(crossfade.samples for plan in plans for crossfade in plan.crossfades) == 160


def test_crossfades_take_every_shape_and_length(drawn):
    longest = round(SETTINGS.longest_crossfade_seconds * 1000)
    for plans in drawn.values():
        crossfades = [crossfade for plan in plans for crossfade in plan.crossfades]
        shapes = Counter(crossfade.shape for crossfade in crossfades)
        assert set(shapes) == set(CROSSFADE_SHAPES)
        assert min(shapes.values()) > 0.12 * len(crossfades)
        lengths = {crossfade.samples / SAMPLES_PER_MS for crossfade in crossfades if crossfade.shape != "hard"}
        assert all(length == int(length) for length in lengths)
        assert min(lengths) == 2
        assert 0.9 * longest <= max(lengths) <= longest
        assert all(crossfade.samples == 0 for crossfade in crossfades if crossfade.shape == "hard")
        for plan in plans:
            for crossfade, pair in zip(plan.crossfades, itertools.pairwise(plan.parts), strict=True):
                assert 3 * crossfade.samples <= min(part.end - part.start for part in pair)


def test_crossfades_do_not_tell_hybrids_from_controls(drawn):
    def mean_overlap(plans):
        return np.mean([crossfade.samples for plan in plans for crossfade in plan.crossfades])

    assert mean_overlap(drawn["hybrid"]) == pytest.approx(mean_overlap(drawn["real+real"]), rel=0.25)
    assert mean_overlap(drawn["hybrid"]) == pytest.approx(mean_overlap(drawn["fake+fake"]), rel=0.25)


def spoken_rms_db(samples):
    """Level of the 10 ms frames that are within 30 dB of the loudest one."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(float)
    power = np.mean(frames**2, axis=1) / 32768**2
    return 10 * np.log10(power[power > power.max() / 1000].mean())


def test_levels_are_matched_half_of_the_time(tmp_path):
    clips = []
    for name, label, level in (("loud", "Real", 0.3), ("quiet", "Fake", 0.03)):
        noise = np.random.default_rng(len(name)).normal(0, level, 3 * SAMPLE_RATE).clip(-1, 0.99)
        write_flac(tmp_path / f"{name}.flac", noise)
        clips.append(Clip(name, tmp_path / f"{name}.flac", label))
    read = cached_reader(clips)
    matched = 0
    plans = draw_many(clips, read, "hybrid", 200)
    for plan in plans:
        sign = -1 if plan.parts[0].label == "Fake" else 1
        gains = [part.gain_db * sign for part in plan.parts[1::2]]
        if min(gains) > 18.9:
            matched += 1
            base, span = plan.parts[0], plan.parts[1]
            middle = render(plan, read)[plan.boundaries[0] + 640 : plan.boundaries[1] - 640]
            near = read(base.clip)[max(0, base.end - SAMPLE_RATE) : base.end + SAMPLE_RATE]
            assert spoken_rms_db(middle) == pytest.approx(spoken_rms_db(near), abs=1.0), span
        else:
            assert max(map(abs, gains)) <= 6.0
            assert len(set(gains)) == 1  # one gain for the whole clip
    assert 0.35 < matched / len(plans) < 0.65


def test_the_same_voice_is_preferred(drawn, parents):
    voice = {clip.name: clip.speaker for clip in parents}
    known = {(clip.label, clip.speaker) for clip in parents}
    checked = Counter()
    for plan in drawn["hybrid"]:
        base, donor = plan.parts[0], plan.parts[1]
        if voice[base.clip] and (donor.label, voice[base.clip]) in known:
            assert voice[donor.clip] == voice[base.clip]
            checked["same"] += 1
        else:
            checked["other"] += 1
    assert min(checked["same"], checked["other"]) > 20
    several = Counter(voice[c.name] for c in parents if c.label == "Real")
    for plan in drawn["real+real"]:
        donors = {part.clip for part in plan.parts[1::2]}
        assert plan.parts[0].clip not in donors
        if several[voice[plan.parts[0].clip]] > 1:
            assert {voice[name] for name in donors} == {voice[plan.parts[0].clip]}


def test_a_clip_is_spliced_with_itself_only_where_nothing_else_is_left(tmp_path, parents, read):
    real = [clip for clip in parents if clip.label == "Real"]
    fake = [clip for clip in parents if clip.label == "Fake"]
    plans = draw_many([real[0], *fake[:2]], read, "real+real", 10)
    assert {part.clip for plan in plans for part in plan.parts} == {real[0].name}


def test_copies_replace_the_very_segment_that_they_copy(parents, read):
    real = [clip for clip in parents if clip.label == "Real"][:6]
    copies = [
        dataclasses.replace(c, name=f"copies/{n}.flac", label="Fake", generator="copy", twin_of=c.name)
        for n, c in enumerate(real)
    ]
    stray = dataclasses.replace(copies[0], name="copies/stray.flac", twin_of="set/left-out.flac")
    twin_of = {copy.name: copy.twin_of for copy in copies} | {copy.twin_of: copy.name for copy in copies}
    reader = cached_reader([*real, *copies, stray])
    plans = draw_many([*real, *copies, stray], reader, "hybrid", 200)
    aligned = Counter()
    for plan in plans:
        base, span, rest = plan.parts[:3]
        if twin_of.get(base.clip) == span.clip and (span.start, span.end) == (base.end, rest.start):
            assert plan.method == "replace"
            aligned[base.label] += 1
    assert 0.3 * len(plans) < sum(aligned.values()) < 0.7 * len(plans)
    assert min(aligned["Real"], aligned["Fake"]) > 20
    for plan in draw_many([*real, *copies], reader, "fake+fake", 50):
        assert all(part.label == "Fake" for part in plan.parts)


def test_an_aligned_copy_without_crossfade_keeps_every_sample_in_its_place(parents):
    real = next(clip for clip in parents if clip.label == "Real")
    copy = dataclasses.replace(real, name="copies/0.flac", label="Fake", twin_of=real.name)
    read = cached_reader([real, copy])
    hard = dataclasses.replace(SETTINGS, longest_crossfade_seconds=0.0)
    plans = [p for p in draw_many([real, copy], read, "hybrid", 60, hard) if p.method == "replace"]
    whole = 0
    for plan in plans:
        quiet = dataclasses.replace(plan, parts=tuple(dataclasses.replace(p, gain_db=0.0) for p in plan.parts))
        whole += np.array_equal(render(quiet, read), read(real.name))
    assert whole > 0.5 * len(plans)


def test_a_copy_may_be_shorter_than_what_it_copies(tmp_path):
    clips, rng = [], np.random.default_rng(0)
    for name, label, seconds, of in (("r", "Real", 8, ""), ("copy", "Fake", 1, "r"), ("other", "Fake", 8, "")):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, rng.normal(0, 0.1, seconds * SAMPLE_RATE), SAMPLE_RATE)
        clips.append(Clip(name, path, label, twin_of=of))
    read = cached_reader(clips)
    splicer = Splicer(clips, SETTINGS, read)
    plans = [plan for seed in range(60) if (plan := splicer.draw("hybrid", "x", np.random.default_rng(seed)))]
    for plan in plans:
        assert all(0 <= part.start < part.end <= len(read(part.clip)) for part in plan.parts)
        render(plan, read)
    assert {"r", "copy", "other"} == {plan.parts[1].clip for plan in plans}


def test_a_decoder_that_was_ended_from_outside_does_not_change_what_is_drawn(monkeypatch, tmp_path):
    asked = []

    def lose(path):
        asked.append(path.name)
        if path.name == "broken.wav" or asked.count(path.name) == 1:
            raise AudioError(f"{path} was not decoded") from (DecoderLost() if path.name != "broken.wav" else None)
        return np.zeros(8, dtype=np.float32)

    monkeypatch.setattr("deepfake_audio.examples.splices.read_audio", lose)
    read = cached_reader([Clip(name, tmp_path / f"{name}.wav", "Real") for name in ("fine", "broken")])
    assert len(read("fine")) == 8 and asked == ["fine.wav"] * 2
    with pytest.raises(AudioError):
        read("broken")
    assert asked.count("broken.wav") == 1


def test_clips_that_are_too_short_are_not_spliced(tmp_path):
    clips = []
    for label in ("Real", "Fake"):
        write_flac(tmp_path / f"{label}.flac", np.full(round(0.55 * SAMPLE_RATE), 0.1))
        clips.append(Clip(label, tmp_path / f"{label}.flac", label))
    splicer = Splicer(clips, SETTINGS, cached_reader(clips))
    assert all(splicer.draw(kind, "x", np.random.default_rng(n)) is None for kind in KINDS for n in range(20))
    assert build_splices(clips, SETTINGS, tmp_path / "out", [0]) == []


def test_silent_parents_do_no_harm(tmp_path):
    clips = []
    for label, level in (("Real", 0.0), ("Fake", 0.1)):
        write_flac(tmp_path / f"{label}.flac", level * np.ones(3 * SAMPLE_RATE))
        clips.append(Clip(label, tmp_path / f"{label}.flac", label))
    read = cached_reader(clips)
    for kind in KINDS:
        for plan in draw_many(clips, read, kind, 10):
            assert all(abs(part.gain_db) <= 20.0 for part in plan.parts)
            assert len(render(plan, read)) == plan.samples


def test_a_class_without_clips_is_named(parents, read):
    with pytest.raises(CorpusError, match=r"no Fake clip to splice; add some under a folder 'fake'"):
        Splicer([clip for clip in parents if clip.label == "Real"], SETTINGS, read)


# What is written


@pytest.fixture(scope="module")
def built(parents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrids") / "train"
    settings = dataclasses.replace(SETTINGS, most_per_split=12)
    ticks = []
    return folder, settings, build_splices(parents, settings, folder, [5, 0], lambda *t: ticks.append(t)), ticks


def test_files_hold_the_rendered_samples_at_16_khz_mono_16_bit(built, parents):
    folder, _, made, ticks = built
    read = cached_reader(parents)
    assert Counter(plan.kind for plan, _ in made) == {"hybrid": 12, "real+real": 6, "fake+fake": 6}
    assert ticks == [(n, 24) for n in range(1, 25)]
    for plan, path in made:
        assert path == folder / plan.name
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16_000, 1, "FLAC", "PCM_16")
        samples = render(plan, read)
        assert np.array_equal(read_audio(path), from_int16(samples))
        assert np.array_equal(to_int16(read_audio(path)), samples)


def test_records_agree_with_the_files(built):
    folder, _, made, _ = built
    lines = (folder / "splices.jsonl").read_text(encoding="utf-8").splitlines()
    assert [SplicePlan.from_json(line) for line in lines] == [plan for plan, _ in made]
    assert all(set(json.loads(line)) == {"name", "kind", "method", "parts", "crossfades"} for line in lines)
    with (folder / "spans.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(plan.name, start, end) for plan, _ in made for start, end in plan.fake_spans]
    assert [(row["path"], int(row["start_sample"]), int(row["end_sample"])) for row in rows] == expected
    for row in rows:
        assert float(row["start_s"]) * SAMPLE_RATE == pytest.approx(int(row["start_sample"]), abs=0.01)
        assert float(row["end_s"]) * SAMPLE_RATE == pytest.approx(int(row["end_sample"]), abs=0.01)
    files = {path.name for path in folder.iterdir()}
    assert files == {plan.name for plan, _ in made} | {"splices.jsonl", "spans.csv"}


def test_a_complete_folder_is_left_as_it_is(built, parents):
    folder, settings, made, _ = built
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert build_splices(parents, settings, folder, [5, 0]) == made
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_folder_that_was_left_half_way_is_completed(built, parents, tmp_path):
    folder, settings, made, _ = built
    half = tmp_path / "train"
    half.mkdir()
    (half / made[0][0].name).write_bytes(b"half a file")
    again = build_splices(parents, settings, half, [5, 0])
    assert [plan for plan, _ in again] == [plan for plan, _ in made]
    for name in [path.name for path in folder.iterdir()]:
        assert (half / name).read_bytes() == (folder / name).read_bytes()


def test_the_seed_chooses_the_splices_and_nothing_else_does(built, parents, tmp_path):
    _, settings, made, _ = built
    few = dataclasses.replace(settings, most_per_split=4)
    plans = [plan for plan, _ in build_splices(parents, few, tmp_path / "few", [5, 0])]
    # Each splice has a seed of its own: fewer of them are the same ones.
    assert plans[:4] == [plan for plan, _ in made[:4]]
    assert {p.parts for p, _ in build_splices(parents, few, tmp_path / "other", [5, 1])} & {
        p.parts for p, _ in made
    } == set()


def test_numbers_follow_the_settings_and_hybrid_clips_are_not_cut_again(tone_corpus, tmp_path):
    clips = find_clips([tone_corpus])[10:30]
    clips += [dataclasses.replace(clips[0], name="tones/hybrid/0.flac", label="Hybrid")]
    settings = HybridSettings(hybrids_per_clip=0.5, controls_per_clip=0.25)
    made = build_splices(clips, settings, tmp_path / "out", [1])
    assert Counter(plan.kind for plan, _ in made) == {"hybrid": 10, "real+real": 3, "fake+fake": 2}
    used = {part.clip for plan, _ in made for part in plan.parts}
    assert used <= {clip.name for clip in clips} - {"tones/hybrid/0.flac"}


def test_a_broken_parent_is_passed_over(tone_corpus, tmp_path):
    clips = find_clips([tone_corpus])[16:24]
    clips[0].path.write_bytes(b"no audio")
    made = build_splices(clips, SETTINGS, tmp_path / "out", [2])
    assert len(made) == 12
    assert clips[0].name not in {part.clip for plan, _ in made for part in plan.parts}
