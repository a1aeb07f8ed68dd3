"""Reading datasets as people have them on disk, and splitting them so that nothing stands in two sets."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deepfake_audio.corpus import split as corpus
from deepfake_audio.corpus.clips import CLASS_WORDS, SPLITS, Clip
from deepfake_audio.corpus.manifest import describe, fingerprint, write_manifest
from deepfake_audio.corpus.recognise import choose_folders, find_clips, find_datasets
from deepfake_audio.corpus.split import split_corpus
from deepfake_audio.errors import CorpusError
from deepfake_audio.settings import CLASS_NAMES
from deepfake_audio.sound.reading import write_flac

SHARED = Path(__file__).resolve().parents[3] / "shared" / "speech"


def touch(root: Path, *paths: str) -> Path:
    """Make empty files: what a clip holds does not matter for finding it."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def labels(root: Path) -> dict[str, str]:
    return {clip.name: clip.label for clip in find_clips([root])}


def table(root: Path, text: str | bytes, name="clips.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


# Folders


@pytest.mark.parametrize(
    ("label", "alias"), [(label, alias) for label in CLASS_NAMES for alias in sorted(CLASS_WORDS[label])]
)
def test_every_alias_in_any_case(tmp_path, label, alias):
    touch(tmp_path, f"set/{alias}/a.wav", f"set/{alias.upper()}/b.wav", f"set/{alias.title()}/deep/er/c.wav")
    assert set(labels(tmp_path).values()) == {label}
    assert len(labels(tmp_path)) >= 2  # a disk that ignores case has the folder once


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("bona-fide", "Real"),
        ("Bona Fide", "Real"),
        ("deep_fake", "Fake"),
        ("half-truth", "Hybrid"),
        ("Partially_Fake", "Hybrid"),
        ("partial-spoof", "Hybrid"),
    ],
)
def test_blanks_hyphens_and_underscores_do_not_matter(tmp_path, folder, label):
    assert labels(touch(tmp_path / "set", f"{folder}/a.wav")) == {f"set/{folder}/a.wav": label}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("deepfake/real_audio/a.wav deepfake/fake_audio/b.wav", "Real Fake"),
        ("AI Voices/b.wav|Human Voices/a.wav|partial fakes/c.wav", "Fake Real Hybrid"),
        ("AI-generated/xtts/b.wav real2/a.wav", "Fake Real"),
        ("Bonafide/a.wav x_generated/b.wav", "Real Fake"),
        ("original_samples/a.wav syntheticspeech/b.wav spoofs-2/c.wav", "Real Fake Fake"),
        ("fake/partial/b.wav fake/full/c.wav fake/original/a.wav", "Hybrid Fake Real"),
        ("spoof/a/real/z/a.wav spoof/a/tts/b.wav", "Real Fake"),
        ("human-recorded/a.wav artificial_voices/b.wav", "Real Fake"),
        ("real/Real-Time-Voice-Cloning/a.wav real/AI4Bharat/b.wav fake/grad-tts/c.wav", "Real Real Fake"),
        ("fake_and_real/real/a.wav fake_and_real/train/fake/b.wav", "Real Fake"),
    ],
)
def test_words_of_folders(tmp_path, paths, expected):
    """The root is called after a class, too, which counts only where nothing below says one."""
    paths = paths.split("|") if "|" in paths else paths.split()
    found = labels(touch(tmp_path / "fake voices", *paths))
    assert [found[f"fake voices/{path}"] for path in paths] == expected.split()


@pytest.mark.parametrize(
    "name", ["Real-Time-Voice-Cloning", "AI4Bharat", "grad-tts", "unreal", "deepfake_dataset", "0"]
)
def test_names_with_other_words_say_nothing(tmp_path, name):
    with pytest.raises(CorpusError, match=f"--label {name}=real or --label {name}=fake") as error:
        find_clips([touch(tmp_path / "set", f"{name}/a.wav")])
    assert "1 recording but no folder named after a class" in str(error.value)
    assert labels(touch(tmp_path / "set", "fake/b.wav")) == {"set/fake/b.wav": "Fake"}


@pytest.mark.parametrize(
    ("path", "said", "advice"),
    [
        ("real/tts/a.wav", "'tts' says Fake and 'real' above it Real", "--label tts=fake or --label tts=real"),
        ("ai/x/Human/z/a.wav", "'Human' says Real and 'ai' above it Fake", "--label Human=real or --label Human=fake"),
        ("RealVideo-FakeAudio/a.wav", "says Real and Fake", "--label RealVideo-FakeAudio=real or --label RealVideo-F"),
    ],
)
def test_names_that_contradict_each_other_are_refused_until_somebody_says(tmp_path, path, said, advice):
    root = touch(tmp_path / "set", path, "0/b.wav", "other/real/c.wav")
    with pytest.raises(CorpusError) as error:
        find_clips([root])
    assert said in str(error.value) and advice in str(error.value)
    name, label = advice.split()[1].split("=")
    for label in CLASS_NAMES:
        (dataset,) = find_datasets([root], None, [(name, label), ("1", "Real")])
        found = {clip.name: clip.label for clip in dataset.clips}
        assert found == {f"set/{path}": label, "set/0/b.wav": "Fake", "set/other/real/c.wav": "Real"}


def test_an_example_line_has_the_label_of_its_own_name(tmp_path):
    with pytest.raises(CorpusError, match=r"some fake stuff/a\.wav,fake"):
        find_clips([touch(tmp_path / "set", "some fake stuff/a.wav")])


def test_names_nested_twice_and_sets_of_the_dataset_itself(tmp_path):
    root = touch(tmp_path / "for-norm", "for-norm/training/real/1.wav", "for-norm/testing/fake/fake/2.mp3")
    clips = {clip.name: clip for clip in find_clips([root])}
    assert clips["for-norm/for-norm/training/real/1.wav"].label == "Real"
    assert clips["for-norm/for-norm/testing/fake/fake/2.mp3"].label == "Fake"
    assert clips["for-norm/for-norm/testing/fake/fake/2.mp3"].generator == ""


def test_the_folder_that_is_named_may_itself_name_the_class(tmp_path):
    root = touch(tmp_path / "fake" / "KAGGLE" / "REAL", "a.wav")
    assert labels(root) == {"REAL/a.wav": "Real"}
    assert labels(tmp_path / "fake" / "KAGGLE") == {"KAGGLE/REAL/a.wav": "Real"}


def test_folders_below_tell_voice_and_generator(tmp_path):
    root = touch(tmp_path / "set", "real/anna/1.wav", "fake/en/xtts/2.wav", "hybrid/editor/3.flac")
    found = {clip.label: clip for clip in find_clips([root])}
    assert (found["Real"].speaker, found["Real"].generator) == ("anna", "")
    assert (found["Fake"].speaker, found["Fake"].generator) == ("", "en/xtts")
    assert (found["Hybrid"].generator, found["Hybrid"].spans) == ("editor", None)
    assert found["Real"].path == root.resolve() / "real" / "anna" / "1.wav"


def test_only_recordings_count_and_hidden_folders_do_not(tmp_path):
    root = touch(tmp_path / "set", "real/a.WAV", "real/b.txt", "real/.c.wav", "real/.git/d.wav", "__MACOSX/real/e.wav")
    assert labels(root) == {"set/real/a.WAV": "Real"}


def test_recordings_are_known_by_rare_suffixes_or_by_their_first_bytes(tmp_path):
    names = ("a.mpeg", "b.MPGA", "c.3ga", "d.wmv", "e.voc", "f.mpg", "g", "h.ts")
    root = touch(tmp_path / "set", *(f"real/{name}" for name in names), "fake/notes", "fake/component.ts", "fake/x.wav")
    for name in ("g", "h.ts"):
        (root / "real" / name).write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    assert labels(root) == {f"set/real/{name}": "Real" for name in names} | {"set/fake/x.wav": "Fake"}


def test_recordings_outside_of_class_folders_are_passed_over(tmp_path):
    assert labels(touch(tmp_path / "set", "noise/x.wav", "real/y.wav")) == {"set/real/y.wav": "Real"}


def test_the_listing_is_sorted(tmp_path):
    names = [f"real/{folder}/{file}.wav" for folder in "zaq" for file in ("10", "2", "1")]
    found = [clip.name for clip in find_clips([touch(tmp_path / "set", *names)])]
    assert found == sorted(f"set/{name}" for name in names)


def test_a_skipped_folder_is_not_looked_into(tmp_path):
    touch(tmp_path / "data", "mine/real/a.wav", "starter/real/b.wav")
    found = find_clips([tmp_path / "data"], tmp_path / "data" / "starter")
    assert [clip.name for clip in found] == ["data/mine/real/a.wav"]


def test_a_file_reached_twice_is_listed_once(tmp_path):
    touch(tmp_path / "data", "mine/real/a.wav", "other/real/b.wav")
    found = find_clips([tmp_path / "data" / "mine", tmp_path / "data", tmp_path / "data" / "mine"])
    assert [clip.path.name for clip in found] == ["a.wav", "b.wav"]


def test_two_folders_of_one_name_keep_their_clips_apart(tmp_path):
    touch(tmp_path, "a/wav/real/1.wav", "b/wav/real/1.wav", "c/wav/fake/1.wav")
    found = find_clips([tmp_path / "a/wav", tmp_path / "b/wav", tmp_path / "c/wav"])
    assert len({clip.name for clip in found}) == len({clip.path for clip in found}) == 3


# Tables


def test_a_table_is_read_with_its_columns(tmp_path):
    root = touch(tmp_path / "set", "x/1.flac", "x/2.flac", "x/3.flac", "x/unlisted.flac", "real/4.flac")
    table(
        root,
        "path,label,speaker,generator,source,language,extra\n"
        "x/1.flac,Bona-Fide, anna ,,LibriVox,en,7\nx/2.flac,SPOOF,,xtts,,,\nx/3.flac,partial,,,,,\n",
    )
    table(root, "path,start_s,end_s\nx/3.flac,2.5,3\nx/3.flac,0.25,1.5\nx/1.flac,0,1\n", "hybrid_spans.csv")
    real, fake, hybrid = find_clips([root])
    assert real == Clip(
        "set/x/1.flac", (root / "x/1.flac").resolve(), "Real", "anna", "", "LibriVox", "en", ((0.0, 1.0),)
    )
    assert (fake.label, fake.generator, fake.speaker, fake.spans) == ("Fake", "xtts", "", None)
    assert (hybrid.label, hybrid.spans) == ("Hybrid", ((0.25, 1.5), (2.5, 3.0)))


def test_a_table_may_stand_in_any_folder(tmp_path):
    root = touch(tmp_path / "data", "mine/a/1.flac", "loose/real/2.wav")
    table(root / "mine", "path,label\na/1.flac,fake\n")
    assert labels(root) == {"data/mine/a/1.flac": "Fake", "data/loose/real/2.wav": "Real"}


def test_a_table_may_be_named_in_any_case(tmp_path):
    root = touch(tmp_path / "set", "real/a.wav", "fake/b.wav", "real/c.wav")
    table(root, "path,label\nreal/a.wav,fake\nfake/b.wav,real\nreal/c.wav,hybrid\n", "Clips.CSV")
    table(root, "path,start_s,end_s\nreal/c.wav,0,1\n", "Hybrid_Spans.csv")
    assert labels(root) == {"set/real/a.wav": "Fake", "set/fake/b.wav": "Real", "set/real/c.wav": "Hybrid"}
    assert [clip.spans for clip in find_clips([root]) if clip.label == "Hybrid"] == [((0.0, 1.0),)]


@pytest.mark.parametrize("name", ["labels.csv", "Train.TSV"])
@pytest.mark.parametrize("folders", [("real", "fake"), ("one", "other")])
def test_a_table_that_is_called_otherwise_is_not_passed_over_in_silence(tmp_path, name, folders):
    one, other = folders
    root = touch(tmp_path / "set", f"{one}/a.wav", f"{other}/b.wav")
    table(root, f"filename,label\n{one}/a.wav,fake\n", name)
    table(root, "name,age\nanna,7\n", "people.csv")
    said = f"{name} is not read: call it clips.csv if it says what its recordings are."
    if one == "real":
        assert [dataset.warnings for dataset in find_datasets([root])] == [[said]]
    else:
        with pytest.raises(CorpusError) as refused:
            find_clips([root])
        assert refused.value.args[-1] == said


def test_tables_from_windows_and_from_excel(tmp_path):
    root = touch(tmp_path / "set", "ä.wav", "b.wav")
    table(root, "\ufeffpath,label\r\nä.wav,real\r\n\r\nb.wav,fake\r\n".encode())
    assert labels(root) == {"set/ä.wav": "Real", "set/b.wav": "Fake"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.wav,real\na.wav,noise\n", r"line 3: label 'noise' is not real, fake or hybrid"),
        ("path,label\nmissing.wav,real\n", r"line 2: there is no file .*missing\.wav"),
        ("path,label\n,real\n", r"line 2: there is no file"),
        ("path,label\n../outside.wav,real\n", r"line 2: '\.\./outside\.wav' leads out of"),
        ("path,label\na.wav,real\nloop/b.wav,real\n", r"line 3: ('loop/b\.wav' is no usable path|there is no file)"),
        ("path,label\nb\0.wav,real\n", r"line 2: 'b\\x00\.wav' is no usable path; correct it|not a readable CSV file"),
        (f"path,label\n{'a' * 5000}.wav,real\n", r"line 2: ('a{200}' is no usable path|there is no file)"),
        ("path,colour\na.wav,real\n", r"lacks the column 'label'"),
        ("", r"lacks the column 'path'"),
        ("path,label\n", r"has no rows"),
        ("path,label\na.wav,0\n", r"label '0' may be either class; .* --label 0=real or --label 0=fake"),
        ("path,label\na.wav,TRUE\n", r"label 'TRUE' may be either class; .* --label TRUE=real or --label TRUE=fake"),
        ("path,label\na.wav,\n", r"line 2: label '' is not real, fake or hybrid; correct it\.$"),
        ("path,label,Label\na.wav,real,fake\n", r"has two columns 'label'; rename or remove one"),
        ("path,is_fake\na.wav,maybe\n", r"label 'maybe' is not real, .* --label maybe=real or"),
        ("path,label\nä.wav,real\n".encode("latin-1"), r"save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_says_where_and_why(tmp_path, text, words):
    touch(tmp_path, "outside.wav", "set/a.wav")
    with contextlib.suppress(OSError):  # Windows does not let everybody make links
        (tmp_path / "set" / "loop").symlink_to("loop")
    with pytest.raises(CorpusError, match=words) as error:
        find_clips([table(tmp_path / "set", text)])
    assert "clips.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("path;label\nx/a.wav;real\nx/b.wav;fake\n", "x/a.wav x/b.wav"),
        ("path\tlabel\nx/a.wav\treal\nx/b.wav\tfake\n", "x/a.wav x/b.wav"),
        ("Path,Label\nx/a.wav,REAL\nx/b.wav,AI-generated\n", "x/a.wav x/b.wav"),
        ('File Name;Class;Gender\n"x/a.wav";"Human voice";f\nx/b.wav;Deep Fake;\n', "x/a.wav x/b.wav"),
        ("filename,label\na.wav,bonafide\nb.wav,spoof\n", "x/a.wav y/b.wav"),
        ("path,label\nx\\a.wav,real\n.\\x\\b.wav,fake\n", "x/a.wav x/b.wav"),
        ("path,label\nX/A.WAV,real\nx/B,fake\n", "x/a.wav x/b.flac"),
        ("path,label\nx/\u00e4.wav,real\nb\u0301,fake\n", "x/a\u0308.wav x/b\u0301.wav"),
        ("path,is_fake\nx/a.wav,0\nx/b.wav,1\n", "x/a.wav x/b.wav"),
        ("file,is_real\nx/a.wav,1.0\nx/b.wav,0.0\n", "x/a.wav x/b.wav"),
        ("file,labels\nx/a.wav,human\nx/b.wav,tts\n", "x/a.wav x/b.wav"),
        ("path,bonafide,generator\nx/a.wav,True,\nx/b.wav,False,xtts\n", "x/a.wav x/b.wav"),
    ],
)
def test_tables_of_other_people(tmp_path, text, files):
    root = table(touch(tmp_path / "set", *files.split()), text)
    assert [(clip.name, clip.label) for clip in find_clips([root])] == [
        (f"set/{name}", label) for name, label in zip(files.split(), ("Real", "Fake"), strict=True)
    ]


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("N", "Y")])
def test_one_word_settles_what_numbers_mean(tmp_path, no, yes):
    root = table(touch(tmp_path / "set", "a.wav", "b.wav"), f"path,label\na.wav,{no}\nb.wav,{yes}\n")
    for said, expected in (((yes, "Fake"), ["Real", "Fake"]), ((no, "Fake"), ["Fake", "Real"])):
        (dataset,) = find_datasets([root], None, [(said[0].removesuffix(".0"), said[1])])
        assert [clip.label for clip in dataset.clips] == expected


def test_a_name_that_may_be_two_files_is_no_name(tmp_path):
    root = table(touch(tmp_path / "set", "a.wav", "a.flac"), "path,label\na,real\n")
    with pytest.raises(CorpusError, match=r"line 2: there is no file .*a; correct the table"):
        find_clips([root])


def test_spans_that_fit_no_clip_are_refused_with_the_first_three_rows(tmp_path):
    root = table(tmp_path / "set", "path,label\nx/a.wav,hybrid\nb.wav,real\n.hidden/c.wav,hybrid\n")
    for name in ("x/a.wav", "b.wav", ".hidden/c.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        soundfile.write(root / name, np.full(16_000, len(name) / 100), 16_000)
    spans = ["path;start_s;end_s", "X\\A;0,5;1,04", ".hidden/c.wav;0;1"]
    (root / "hybrid_spans.csv").write_text("\n".join(spans), encoding="utf-8")
    assert [clip.spans for clip in find_clips([root])] == [((0.5, 1.04),), None, ((0.0, 1.0),)]
    for more, said in (
        (
            [f"gone{n}.wav;0;1" for n in range(4)],
            r"4 rows name no clip of clips\.csv \(line 4: gone0\.wav, .*gone2\.wav\)",
        ),
        (["x/a.wav;0.2;1.5"], r"1 row ends behind the end of a clip \(line 4: x/a\.wav to 1\.5 s of 1\.00 s\)"),
    ):
        (root / "hybrid_spans.csv").write_text("\n".join([*spans, *more]), encoding="utf-8")
        with pytest.raises(CorpusError, match=said + "; correct or remove"):
            find_clips([root])


def test_an_absolute_path_leads_outside_too(tmp_path):
    touch(tmp_path, "outside.wav")
    with pytest.raises(CorpusError, match="leads out of"):
        find_clips([table(tmp_path / "set", f"path,label\n{tmp_path / 'outside.wav'},real\n")])


@pytest.mark.parametrize("span", ["one,2", "2,1", "1,1", "-1,2", "nan,2", "1,nan", ",", "0,inf", "0,1e300"])
def test_spans_that_are_no_span_of_time_are_refused(tmp_path, span):
    root = touch(table(tmp_path / "set", "path,label\na.wav,hybrid\n"), "a.wav")
    table(root, f"path,start_s,end_s\na.wav,0,1\na.wav,{span}\n", "hybrid_spans.csv")
    with pytest.raises(CorpusError, match=r"hybrid_spans\.csv, line 3"):
        find_clips([root])


# Folders that cannot be used


def test_folders_without_clips_say_what_to_do(tmp_path):
    with pytest.raises(CorpusError, match=r"There is no folder .*nowhere"):
        find_clips([tmp_path / "nowhere"])
    touch(tmp_path, "empty/readme.txt", "nameless/a.wav", "nameless/b/c.mp3")
    with pytest.raises(CorpusError, match=r"empty holds no recordings\. Put clips under <folder>/real"):
        find_clips([tmp_path / "empty"])
    with pytest.raises(CorpusError, match=r"nameless holds 2 recordings but no folder named after a class"):
        find_clips([tmp_path / "nameless"])


@pytest.fixture
def few_candidates(monkeypatch):
    """Split small made-up corpora quickly: the best of a hundred splits is good enough."""
    monkeypatch.setattr(corpus, "CANDIDATE_CLIPS", 6000)


def made_up(label: str, count: int, **labels) -> list[Clip]:
    """Make clips in memory; a label may be a function of the clip's number."""
    return [
        Clip(
            f"set/{label}/{n}.wav",
            Path(f"/set/{label}/{n}.wav"),
            label,
            **{key: value(n) if callable(value) else value for key, value in labels.items()},
        )
        for n in range(count)
    ]


def voices(of: int):
    return lambda n: f"voice{n % of}"


def test_a_class_that_is_missing_or_too_small_is_named(few_candidates):
    real, fake = made_up("Real", 30, speaker=voices(6)), made_up("Fake", 30, generator=voices(6))
    with pytest.raises(CorpusError, match=r"has 0 Fake clips and needs at least 9; add .* folder named 'fake'"):
        split_corpus(real)
    with pytest.raises(CorpusError, match=r"has 8 Real clips and needs at least 9; add .* folder named 'real'"):
        split_corpus(real[:8] + fake)
    split_corpus(real + fake)


def test_one_speaker_or_no_labels_at_all_is_split_by_file_with_a_warning(few_candidates):
    real = made_up("Real", 30, speaker="anna")
    with pytest.raises(CorpusError, match=r"too small to split: 0 Real clips .* add Real clips of other speakers"):
        split_corpus(real + made_up("Fake", 30))
    splits = split_corpus(made_up("Real", 30) + made_up("Fake", 30))
    assert sum("split by file" in warning for warning in splits.warnings) == 2
    assert "add" not in describe(splits).split("warning")[0]
    assert not splits.left_out
    one_known = made_up("Real", 30, speaker=lambda n: "anna" if n < 4 else "")
    warnings = split_corpus(one_known + made_up("Fake", 30, generator=voices(5))).warnings
    assert any("'anna'" in warning and "add other real speakers" in warning for warning in warnings)


def test_one_generator_cannot_fill_three_sets_but_its_speakers_can(few_candidates):
    fake = made_up("Fake", 60, generator="xtts", speaker=voices(10))
    splits = split_corpus(made_up("Real", 60, source=voices(6), speaker=lambda n: f"r{n}") + fake)
    sets = sets_of(splits, "speaker")
    assert all(len(found) == 1 for found in sets.values())
    assert all(counts["Fake"] >= 3 for counts in splits.counts().values())


def test_exactly_three_groups_are_enough(few_candidates):
    splits = split_corpus(made_up("Real", 30, speaker=voices(3)) + made_up("Fake", 30, generator=voices(3)))
    assert [counts["Real"] for counts in splits.counts().values()] == [10, 10, 10]
    assert [counts["Fake"] for counts in splits.counts().values()] == [10, 10, 10]
    splits = split_corpus(made_up("Real", 30, source=voices(3)) + made_up("Fake", 30, source=voices(3)))
    assert all(len(found) == 1 for found in sets_of(splits, "source").values())
    assert [(counts["Real"], counts["Fake"]) for counts in splits.counts().values()] == [(10, 10)] * 3


def test_copies_of_a_voice_are_left_out_rather_than_heard_twice(few_candidates):
    real = made_up("Real", 60, speaker=voices(10))
    fake = made_up("Fake", 60, generator=lambda n: f"engine{n % 6}", speaker=lambda n: f"voice{n % 10}" * (n < 20))
    splits = split_corpus(real + fake)
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    assert splits.left_out
    assert all(reason.startswith(("speaker voice", "generator engine")) for _, reason in splits.left_out)
    assert f"{len(splits.left_out)} of 120 clips are left out" in splits.warnings[-1]


def test_families_of_a_generator():
    clip = made_up("Fake", 1)[0]
    families = {
        name: dataclasses.replace(clip, generator=name).generator_family
        for name in ("Flite (slt)", "Kokoro-82M (am_adam)", "xtts", "")
    }
    assert list(families.values()) == ["Flite", "Kokoro-82M", "xtts", ""]


# Real corpora


def sets_of(splits, key: str, label: str | None = None) -> dict[str, set[str]]:
    found = defaultdict(set)
    for split, clips in splits.sets.items():
        for clip in clips:
            if getattr(clip, key) and clip.label == (label or clip.label):
                found[getattr(clip, key)].add(split)
    return found


def check_split(clips, splits):
    assert list(splits.sets) == list(SPLITS)
    for key, label in [("speaker", None), ("generator", None), ("generator_family", None), ("source", "Real")]:
        shared = {value: found for value, found in sets_of(splits, key, label).items() if len(found) > 1}
        assert shared == {}, key
    everywhere = [clip.name for split in splits.sets.values() for clip in split] + [c.name for c, _ in splits.left_out]
    assert Counter(everywhere) == Counter(clip.name for clip in clips)
    for counts in splits.counts().values():
        assert counts["Real"] >= 3
        assert counts["Fake"] >= 3
    assert len(splits.sets["train"]) > max(len(splits.sets["validation"]), len(splits.sets["test"]))


@pytest.fixture(scope="module")
def starter_clips(starter):
    return find_clips([starter])


def test_the_starter_corpus_is_complete(starter, starter_clips):
    assert len(starter_clips) == len(list(starter.rglob("*.flac")))
    assert {clip.label for clip in starter_clips} == {"Real", "Fake"}
    assert all(clip.name.startswith("starter/") for clip in starter_clips)
    assert all(clip.speaker and clip.source for clip in starter_clips if clip.label == "Real")
    assert all(clip.generator for clip in starter_clips if clip.label == "Fake")


@pytest.fixture(scope="module")
def starter_splits(starter_clips):
    return [split_corpus(starter_clips, seed) for seed in range(5)]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_in_the_starter_corpus_stands_in_two_sets(starter_clips, starter_splits, seed):
    splits = starter_splits[seed]
    check_split(starter_clips, splits)
    assert len(splits.left_out) < len(starter_clips) / 10


def test_the_seed_chooses_the_split(starter_clips, starter_splits):
    assert split_corpus(starter_clips, 3) == starter_splits[3]
    tests = {tuple(clip.name for clip in splits.sets["test"]) for splits in starter_splits}
    assert len(tests) >= 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="the large corpus is not here")
def test_nothing_in_the_large_corpus_stands_in_two_sets():
    clips = find_clips([SHARED])
    assert {clip.label for clip in clips} == {"Real", "Fake"}
    check_split(clips, split_corpus(clips, 0))


def test_the_description_counts_what_is_there(starter_splits):
    splits = starter_splits[0]
    lines = describe(splits).splitlines()
    assert lines[0].split() == ["Set", "Real", "Fake", "Hybrid", "speakers", "sources", "generators"]
    for line, split in zip(lines[1:4], SPLITS, strict=True):
        counts = splits.counts()[split]
        known = [
            len({getattr(c, key) for c in splits.sets[split]} - {""}) for key in ("speaker", "source", "generator")
        ]
        assert line.split() == [split, *(str(counts[label]) for label in CLASS_NAMES), *map(str, known)]
    assert lines[4].startswith("left out")
    assert [line.removeprefix("warning: ") for line in lines[5:]] == splits.warnings


# Manifest and fingerprint


@pytest.fixture
def small(tmp_path):
    root = tmp_path / "here" / "set"
    for n in range(12):
        touch(root, f"real/voice{n % 4}/{n}.wav", f"fake/engine{n % 4}/{n}.wav")
    return root


def test_the_manifest_has_a_row_for_every_clip(tmp_path, starter_clips, starter_splits):
    splits = next(splits for splits in starter_splits if splits.left_out)
    write_manifest(tmp_path / "manifest.csv", splits)
    with (tmp_path / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(clip.name for clip in starter_clips)
    reasons = {clip.name: reason for clip, reason in splits.left_out}
    assert reasons
    sets = {clip.name: split for split, clips in splits.sets.items() for clip in clips}
    for clip in starter_clips:
        row = rows[clip.name]
        assert row["split"] == sets.get(clip.name, "left out")
        assert row["reason"] == reasons.get(clip.name, "")
        assert row["group"] == splits.groups[clip.name]
        assert row["path"] == str(clip.path)
        for key in ("label", "speaker", "generator", "source", "language"):
            assert row[key] == getattr(clip, key)


def test_the_fingerprint_is_that_of_the_corpus_and_not_of_the_disk(small, tmp_path, few_candidates):
    here = fingerprint(split_corpus(find_clips([small]), 0))
    shutil.copytree(small, tmp_path / "there" / "set")
    assert fingerprint(split_corpus(find_clips([tmp_path / "there" / "set"]), 0)) == here
    touch(small, "real/voice0/new.wav")
    assert fingerprint(split_corpus(find_clips([small]), 0)) != here


def test_the_fingerprint_changes_with_labels_and_sets(small, few_candidates):
    splits = split_corpus(find_clips([small]), 0)
    before = fingerprint(splits)
    train, test = splits.sets["train"], splits.sets["test"]
    moved = dict(splits.sets, train=train[1:], test=[*test, train[0]])
    assert fingerprint(dataclasses.replace(splits, sets=moved)) != before
    relabelled = dict(splits.sets, train=[dataclasses.replace(train[0], language="en"), *train[1:]])
    assert fingerprint(dataclasses.replace(splits, sets=relabelled)) != before
    reordered = dict(splits.sets, train=train[::-1])
    assert fingerprint(dataclasses.replace(splits, sets=reordered)) == before
    assert fingerprint(splits) == before


# Which folders a run uses


def test_the_starter_clips_are_used_while_there_is_nothing_else(tmp_path):
    data = touch(tmp_path / "data", "starter/real/a.flac", "README.md", "notes/todo.txt")
    folders, skip, notes = choose_folders([], data)
    assert (folders, skip) == ([data / "starter"], None)
    assert "python CNNRNNLSTM.py --data" in " ".join(notes)


def test_recordings_of_the_users_own_replace_the_starter_clips(tmp_path):
    data = touch(tmp_path / "data", "starter/real/a.flac", "mine/deep/real/a.WAV")
    folders, skip, notes = choose_folders([], data)
    assert (folders, skip) == ([data], data / "starter")
    assert "left aside" in notes[0]
    assert [clip.name for clip in find_clips(folders, skip)] == ["data/mine/deep/real/a.WAV"]


def test_named_folders_are_taken_as_they_are(tmp_path):
    assert choose_folders([tmp_path / "a", tmp_path / "b"], tmp_path) == ([tmp_path / "a", tmp_path / "b"], None, [])


def test_without_any_data_a_folder_is_asked_for(tmp_path):
    with pytest.raises(CorpusError, match=r"There are no recordings in .*data: name their folder"):
        choose_folders([], tmp_path / "data")


def test_clips_with_sound_are_found_like_empty_ones(tmp_path):
    write_flac(tmp_path / "set" / "real" / "a.flac", np.zeros(10, np.float32))
    assert labels(tmp_path / "set") == {"set/real/a.flac": "Real"}


def test_a_label_that_cannot_keep_sets_apart_is_pointed_out(starter):
    clips = find_clips([starter])
    assert any("Fake clips name 2 different source labels" in warning for warning in split_corpus(clips).warnings)
    bare = [dataclasses.replace(clip, source="") if clip.label == "Fake" else clip for clip in clips]
    assert not any("different source labels" in warning for warning in split_corpus(bare).warnings)


# Partitions of the datasets' own


def partitions(counts: dict[str, int], root="official", **labels) -> list[Clip]:
    """Make Real and Fake clips that come with sets."""
    return [
        dataclasses.replace(clip, name=f"{root}/{split}/{clip.name}", split=split)
        for split, count in counts.items()
        for label in ("Real", "Fake")
        for clip in made_up(label, count, **labels)
    ]


def test_partitions_are_kept_even_where_they_share_voices():
    clips = partitions({"train": 10, "validation": 5, "test": 7}, speaker=voices(3), generator=voices(4))
    splits = split_corpus(clips)
    assert splits.sets == {split: [c for c in clips if c.split == split] for split in SPLITS}
    assert splits.left_out == []
    assert len(splits.warnings) == 1
    assert "3 of 3 speakers and 4 of 4 generators stand in more than one set" in splits.warnings[0]
    assert set(splits.groups) == {clip.name for clip in clips}
    assert split_corpus(clips, 1).sets == splits.sets


def test_missing_partitions_are_cut_from_training_by_group(few_candidates):
    clips = partitions({"train": 60, "test": 10}, speaker=lambda n: f"voice{n % 10}" * (n < 60))
    clips = [dataclasses.replace(c, speaker=f"{c.split} {c.label} {c.speaker}") for c in clips]
    splits = split_corpus(clips)
    assert [c for c in clips if c.split == "test"] == splits.sets["test"]
    assert {c.split for c in splits.sets["validation"]} == {"train"} and len(splits.sets["validation"]) >= 12
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    assert sum(map(len, splits.sets.values())) + len(splits.left_out) == len(clips)


def test_a_dataset_without_partitions_joins_one_that_has_them(few_candidates):
    official = partitions({"train": 20, "validation": 10, "test": 10}, speaker=voices(2))
    official = [dataclasses.replace(c, speaker=f"{c.split} {c.speaker}") for c in official]
    own = made_up("Real", 40, speaker=voices(8)) + made_up("Fake", 40, generator=voices(8))
    # One of the free speakers is heard in the official test set: the free clips give way.
    own = [dataclasses.replace(c, speaker="test voice1") if c.speaker == "voice3" else c for c in own]
    splits = split_corpus(own + official)
    for split in SPLITS:
        assert [c for c in splits.sets[split] if c.split] == [c for c in official if c.split == split]
        assert {c.label for c in splits.sets[split] if not c.split} == {"Real", "Fake"}
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    assert all(clip.split == "" for clip, _ in splits.left_out)


def test_a_test_partition_alone_takes_nothing_from_the_others(few_candidates):
    own = made_up("Real", 40, speaker=voices(8)) + made_up("Fake", 40, generator=voices(8))
    splits = split_corpus(own + partitions({"test": 30}))
    alone = split_corpus(own)
    assert splits.sets["train"] == alone.sets["train"] and splits.sets["validation"] == alone.sets["validation"]
    assert len(splits.sets["test"]) == len(alone.sets["test"]) + 60
    with pytest.raises(CorpusError, match=r"0 Real clips would be left for train; .* add another dataset to --data"):
        split_corpus(partitions({"test": 30}))


def test_what_two_partitions_share_does_not_empty_one_of_them(few_candidates):
    clips = partitions({"train": 30, "test": 10}, speaker="anna")
    splits = split_corpus(clips)
    assert splits.left_out == [] and {c.split for c in splits.sets["validation"]} == {"train"}
    assert [c for c in clips if c.split == "test"] == splits.sets["test"]


def test_a_few_more_clips_that_cannot_fill_a_set_are_trained_on():
    more = made_up("Real", 2, speaker="anna")
    splits = split_corpus(more + partitions({"train": 10, "validation": 5, "test": 7}))
    assert splits.sets["train"][:2] == more


def test_a_few_long_recordings_are_enough(tmp_path, few_candidates):
    """DEEP-VOICE has eight real recordings of ten minutes, and as many voices."""
    names = ("biden", "linus", "margot", "musk", "obama", "ryan", "taylor", "trump")
    for number, name in enumerate(names):
        for path in (f"REAL/{name}-original", f"FAKE/{names[number - 1]}-to-{name}"):
            target = tmp_path / "KAGGLE" / "AUDIO" / f"{path}.flac"
            write_flac(target, np.full(70_000, len(list(tmp_path.rglob("*.flac"))) / 100, np.float32), 1000)
    clips = find_clips([tmp_path])
    splits = split_corpus(clips)
    assert all(counts["Real"] == counts["Fake"] >= 1 for counts in splits.counts().values())
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    for clip in clips:
        write_flac(clip.path, np.zeros(20_000, np.float32), 1000)
    with pytest.raises(CorpusError, match="has 8 Real clips and needs at least 9"):
        split_corpus(clips)


def test_generators_that_all_speak_with_every_voice_are_split_by_voice(few_candidates):
    """So LlamaPartialSpoof is made, and each partition of ASVspoof 2019."""
    real = made_up("Real", 100, speaker=voices(20))
    fake = made_up("Fake", 400, speaker=voices(20), generator=lambda n: f"engine{n // 20 % 4}")
    hybrid = made_up("Hybrid", 400, speaker=voices(20), generator=lambda n: f"engine{n // 20 % 4}")
    splits = split_corpus(real + fake + hybrid)
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    assert splits.left_out == [] and all(min(counts.values()) >= 10 for counts in splits.counts().values())
    assert sum("only voices are kept apart" in warning for warning in splits.warnings) == 1
    assert split_corpus(real + fake + hybrid) == splits


def test_a_missing_set_is_cut_by_voice_where_generators_are_shared(few_candidates):
    train = made_up("Real", 60, speaker=voices(20)) + made_up(
        "Fake", 240, speaker=voices(20), generator=lambda n: f"A{n // 20 % 6}"
    )
    train = [dataclasses.replace(clip, split="train", name=f"la/{clip.name}") for clip in train]
    dev = partitions({"validation": 30}, root="la", speaker="another", generator="A1")
    splits = split_corpus(train + dev)
    assert splits.sets["validation"] == dev
    assert all(counts["Real"] >= 3 <= counts["Fake"] for counts in splits.counts().values())
    assert all(len(found) == 1 for found in sets_of(splits, "speaker").values())
    assert {clip.split for clip in splits.sets["test"]} == {"train"}
