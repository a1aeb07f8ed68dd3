"""Every layout of the table on a tree with its true names and formats, alone, mixed, nested and damaged."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import trees

from deepfake_audio.corpus import layouts, tree
from deepfake_audio.corpus.clips import Clip
from deepfake_audio.corpus.layouts import layout_names
from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.errors import CorpusError


@pytest.fixture
def grow(tmp_path):
    return trees.Grower(tmp_path / "set")


def one(root: Path):
    """Return the only dataset below a folder."""
    (dataset,) = find_datasets([root])
    return dataset


def facts(dataset, *fields: str) -> set[tuple]:
    """Return what is told about each clip, by the stem of its file."""
    return {(clip.path.stem, *(getattr(clip, field) for field in fields)) for clip in dataset.clips}


def reasons(dataset) -> dict[str, int]:
    return {reason: entry.count for reason, entry in dataset.ignored.items()}


# One tree per layout


@pytest.mark.parametrize(
    "top", ["for-norm/for-norm", "for-original/for-original", "for-2sec/for-2seconds", "for-rerec/for-rerecorded"]
)
def test_fake_or_real_in_its_four_versions(grow, top):
    trees.fake_or_real(grow, top, each=2)
    dataset = one(grow.root)
    assert dataset.layout == f"Fake-or-Real ({top.split('/')[0]})" and dataset.ignored == {}
    assert dataset.root == (grow.root / top).resolve()
    found = sorted((clip.label, clip.split) for clip in dataset.clips)
    sets = ("test", "train", "validation")
    assert found == [(label, split) for label in ("Fake", "Real") for split in sets for _ in range(2)]
    assert {(clip.speaker, clip.generator, clip.language) for clip in dataset.clips} == {("", "", "en")}


def test_all_versions_of_fake_or_real_at_once_and_one_level_only(grow):
    for top in ("for-norm/for-norm", "for-original"):
        trees.fake_or_real(grow, f"the-fake-or-real-dataset/{top}")
    assert [(d.layout, len(d.clips)) for d in find_datasets([grow.root])] == [
        ("Fake-or-Real (for-norm)", 6),
        ("Fake-or-Real (for-original)", 6),
    ]
    assert one(grow.root / "the-fake-or-real-dataset" / "for-original").clips[0].split == "test"


def test_deep_voice(grow):
    trees.deep_voice(grow)
    dataset = one(grow.root)
    assert dataset.layout == "DEEP-VOICE"
    assert facts(dataset, "label", "speaker", "generator") == {
        ("biden-original", "Real", "biden", ""),
        ("musk-original", "Real", "musk", ""),
        ("Obama-to-Biden", "Fake", "biden", "RVC"),
        ("biden-to-Musk", "Fake", "musk", "RVC"),
        ("linus-original-DEMO", "Real", "linus", ""),
        ("linus-to-musk-DEMO", "Fake", "musk", "RVC"),
    }


@pytest.mark.parametrize(
    "places",
    [
        ("0.wav", "1.wav", "2.wav"),
        ("fake/0.wav", "real/1.wav", "fake/2.wav"),
        ("release_in_the_wild/0.wav", "release_in_the_wild/1.wav", "release_in_the_wild/2.wav"),
    ],
)
def test_in_the_wild_by_its_table(grow, places):
    trees.in_the_wild(grow, places)
    dataset = one(grow.root)
    assert dataset.layout == "In-the-Wild" and "meta.csv" in dataset.why
    assert facts(dataset, "label", "speaker", "language", "split", "generator") == {
        ("0", "Fake", "Alec Guinness", "en", "", ""),
        ("1", "Real", "Alec Guinness", "en", "", ""),
        ("2", "Fake", "Barack Obama", "en", "", ""),
    }


def test_in_the_wild_repacked_without_its_table(grow):
    grow.clips("release_in_the_wild/real/1.wav", "release_in_the_wild/fake/0.wav", "release_in_the_wild/fake/1.wav")
    dataset = one(grow.root)
    assert dataset.layout == "In-the-Wild (repacked)"
    assert sorted((clip.label, clip.path.name) for clip in dataset.clips) == [
        ("Fake", "0.wav"),
        ("Fake", "1.wav"),
        ("Real", "1.wav"),
    ]


def test_a_number_in_both_folders_goes_with_the_label_of_the_table(grow):
    trees.in_the_wild(grow, ("fake/0.wav", "real/0.wav", "real/1.wav", "fake/2.wav"))
    dataset = one(grow.root)
    assert {clip.name: clip.label for clip in dataset.clips}["set/release_in_the_wild/fake/0.wav"] == "Fake"
    assert reasons(dataset) == {"recordings that no list names": 1}


def test_a_table_may_name_the_clips_of_two_folders_alike(grow):
    grow.text("x/meta.csv", "file,speaker,label", "0.wav,anna,bona-fide", "0.wav,anna,spoof")
    grow.clips("x/fake/0.wav", "x/real/0.wav")
    assert {clip.name: clip.label for clip in one(grow.root).clips} == {
        "set/x/fake/0.wav": "Fake",
        "set/x/real/0.wav": "Real",
    }


def test_asvspoof_2017(grow):
    trees.asvspoof_2017(grow)
    dataset = one(grow.root)
    assert dataset.layout == "ASVspoof 2017" and dataset.ignored == {}
    assert facts(dataset, "label", "split", "speaker", "generator") == {
        *(
            (f"{letter}_1000001", "Real", split, "ASVspoof 2017 M0001", "")
            for letter, split in zip("TDE", ("train", "validation", "test"), strict=True)
        ),
        *(
            (f"{letter}_1001508", "Fake", split, "ASVspoof 2017 M0002", "replay P07-R04")
            for letter, split in zip("TDE", ("train", "validation", "test"), strict=True)
        ),
    }


@pytest.mark.parametrize(("task", "prefix"), [("LA", "ASVspoof 2019 "), ("PA", "replay ")])
def test_asvspoof_2019(grow, task, prefix):
    trees.asvspoof_2019(grow, task, top=f"{task}/{task}/")
    dataset = one(grow.root)
    assert dataset.layout == f"ASVspoof 2019 {task}" and dataset.ignored == {}
    assert f"ASVspoof2019.{task}.cm.dev.trl.txt and 2 more lists" in dataset.why
    attacks = ("A01", "A01", "A07") if task == "LA" else ("AA",) * 3
    expected = set()
    for number, (letter, split) in enumerate(zip("TDE", ("train", "validation", "test"), strict=True)):
        speaker = f"{task}_00{number}9"
        expected.add((f"{task}_{letter}_1138215", "Real", split, speaker, ""))
        expected.add((f"{task}_{letter}_1271820", "Fake", split, speaker, prefix + attacks[number]))
    assert facts(dataset, "label", "split", "speaker", "generator") == expected


def test_asvspoof_2021(grow):
    trees.asvspoof_2021(grow, "LA")
    trees.asvspoof_2021(grow, "DF")
    la, df = find_datasets([grow.root])
    assert (la.layout, df.layout) == ("ASVspoof 2021 LA", "ASVspoof 2021 DF")
    assert facts(la, "label", "split", "generator") == {
        ("LA_E_9332881", "Fake", "test", "ASVspoof 2019 A07"),
        ("LA_E_6866159", "Real", "test", ""),
    }
    assert facts(df, "label", "split", "generator") == {
        ("DF_E_2000011", "Fake", "test", "asvspoof A14"),
        ("DF_E_2000013", "Fake", "test", "vcc2020 Task1-team20"),
        ("DF_E_2000026", "Real", "test", ""),
    }
    assert la.ignored == df.ignored == {}


def test_asvspoof_5_has_blanks_in_its_tsv(grow):
    trees.asvspoof_5(grow)
    dataset = one(grow.root)
    assert dataset.layout == "ASVspoof 5" and dataset.ignored == {}
    assert {("T_0000000000", "Fake", "train", "ASVspoof 5 T_4850", "ASVspoof 5 A05"),
            ("D_0000000001", "Real", "validation", "ASVspoof 5 D_4851", ""),
            ("E_0000000000", "Fake", "test", "ASVspoof 5 E_4850", "ASVspoof 5 A05")} <= facts(
        dataset, "label", "split", "speaker", "generator")  # fmt: skip


def test_wavefake_has_no_real_clips_and_says_what_to_pair_it_with(grow):
    trees.wavefake(grow)
    dataset = one(grow.root)
    assert dataset.layout == "WaveFake"
    assert facts(dataset, "label", "generator", "language") == {
        ("LJ001-0001_gen", "Fake", "ljspeech_melgan", "en"),
        ("LJ002-0001_gen", "Fake", "ljspeech_hifiGAN", "en"),
        ("BASIC5000_0001_gen", "Fake", "jsut_multi_band_melgan", "ja"),
        ("gen_0", "Fake", "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech", "en"),
    }
    assert "pair it with LJSpeech" in dataset.warnings[0]


def test_wavefake_beside_ljspeech(grow):
    trees.wavefake(grow)
    trees.ljspeech(grow)
    fake, real = find_datasets([grow.root])
    assert (fake.layout, real.layout) == ("WaveFake", "LJSpeech")
    assert facts(real, "label", "source", "speaker") == {
        ("LJ001-0001", "Real", "LJSpeech LJ001", ""),
        ("LJ002-0001", "Real", "LJSpeech LJ002", ""),
    }
    assert "one speaker" in real.warnings[0]


def test_jsut_and_m_ailabs_to_pair_with(grow):
    grow.clips("jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav")
    trees.m_ailabs(grow)
    jsut, books = find_datasets([grow.root])
    assert facts(jsut, "label", "language", "source") == {("BASIC5000_0001", "Real", "ja", "JSUT basic5000")}
    assert [(c.label, c.language, c.speaker, c.source) for c in books.clips] == [
        ("Real", "en", "judy_bieber", "M-AILABS the_master_key")
    ]


@pytest.mark.parametrize(("labels", "vad", "end"), [(True, False, 0.3), (True, True, 0.3), (False, True, 0.3)])
def test_partial_spoof_with_true_spans(grow, labels, vad, end):
    trees.partial_spoof(grow, labels, vad)
    dataset = one(grow.root)
    assert dataset.layout == "PartialSpoof" and dataset.ignored == {} and dataset.warnings == []
    for letter, split in zip("TDE", ("train", "validation", "test"), strict=True):
        assert {
            (f"LA_{letter}_1138215", "Real", split, None),
            (f"CON_{letter}_0000002", "Fake", split, None),
            (f"CON_{letter}_0000001", "Hybrid", split, ((0.1, end),)),
        } <= facts(dataset, "label", "split", "spans")
    assert {clip.speaker for clip in dataset.clips} == {"LA_0079", "LA_0080"}


def test_partial_spoof_without_segment_labels_is_hybrid_at_an_unknown_place(grow):
    trees.partial_spoof(grow, labels=False)
    dataset = one(grow.root)
    assert {(c.label, c.spans) for c in dataset.clips if c.path.stem.startswith("CON")} == {("Hybrid", None)}
    assert dataset.warnings == [
        "6 partly fake clips have no segment labels: where speech is fake is not known. "
        "Add segment_labels/ or vad/ of the dataset."
    ]


class Asks:
    """Becomes, in a pickle, any call and any state after it."""

    def __init__(self, function, arguments, state=None):
        self.answer = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.answer


def grow_labels(grow, pickled):
    """Write segment labels of one set; return what reads them."""
    trees.partial_spoof(grow, labels=False)
    path = grow.root / "database" / "segment_labels" / "train_seglab_0.01.npy"
    path.parent.mkdir()
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (), "fortran_order": False, "descr": "|O"})
        file.write(pickled)
    return path


def frombuffer(data, letter, state=None, shape=(1,)):
    return Asks(np._core.numeric._frombuffer, (data, Asks(np.dtype, (letter, False, True), state), shape, "C"))


# A field of 8 bytes that the flags of the state turn into a Python object.
POINTER = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)

HOSTILE_LABELS = {
    "pointer": pickle.dumps({"a": frombuffer(b"A" * 8, "V8", POINTER)}),
    "object": pickle.dumps({"a": frombuffer(b"A" * 8, "O8")}),
    "too long": pickle.dumps({"a": frombuffer(b"AAAA", "S1", shape=(10**12,))}),
    "too wide": pickle.dumps({"a": frombuffer(b"A" * 8, "U999999999")}),
    "no characters": pickle.dumps({Asks(np._core.multiarray.scalar, (np.dtype("U1"), b"\xff" * 4)): "1"}),
    "other opcode": pickle.dumps({"a": {1}}),
    "bytes that are missing": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "names without an end": b"\x80\x04]\x94"
    + b"".join(b"](h%ch%ce\x94" % (n, n) for n in range(40))
    + b"h\x28h\x28\x93.",
    "cut off": pickle.dumps({"a": np.array(["0", "1"])})[:-9],
    "a list": pickle.dumps({"a": ["0", "1"]}),
    "one number": pickle.dumps(1),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE_LABELS)
def test_hostile_segment_labels_are_refused(grow, name):
    path = grow_labels(grow, HOSTILE_LABELS[name])
    with pytest.raises(CorpusError, match=r"train_seglab_0\.01\.npy holds no segment labels \(.+\); copy or") as caught:
        find_datasets([grow.root])
    assert len(str(caught.value)) < len(str(path)) + 300


def test_segment_labels_that_would_run_code_are_refused(grow):
    path = grow_labels(grow, pickle.dumps(Asks(os.mkdir, (str(grow.root / "ran"),))))
    with pytest.raises(CorpusError, match=r"holds no segment labels \(it asks for '\w+\.mkdir'\)"):
        find_datasets([grow.root])
    assert not (grow.root / "ran").exists()
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(CorpusError, match="holds no segment labels"):
        find_datasets([grow.root])


def test_segment_labels_are_limited(grow, monkeypatch):
    grow_labels(grow, pickle.dumps({"CON_T_0000001": np.array(["0", "1"] * 20)}))
    with monkeypatch.context() as patch:
        patch.setattr("deepfake_audio.corpus.tree.MOST_LABEL_BYTES", 100)
        with pytest.raises(CorpusError, match="more than 0 MiB"):
            find_datasets([grow.root])
    find_datasets([grow.root])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_segment_labels_of_every_honest_kind_are_read(grow, protocol):
    pattern = [1] * 10 + [0] * 20 + [1] * 10
    for kind in ("U1", "S1", "i8", ">i2", "u1"):
        content = {np.str_("CON_T_0000001"): np.array(pattern).astype(kind)}
        path = grow_labels(grow, pickle.dumps(np.array(content, dtype=object), protocol))
        clips = [clip for clip in one(grow.root).clips if clip.path.stem == "CON_T_0000001"]
        assert [clip.spans for clip in clips] == [((0.1, 0.3),)], kind
        path.unlink()
        path.parent.rmdir()


@pytest.mark.parametrize("flipped", [False, True])
def test_half_truth_whatever_its_numbers_mean(grow, flipped):
    trees.half_truth(grow, flipped)
    dataset = one(grow.root)
    assert dataset.layout == "Half-Truth (HAD)" and dataset.ignored == {}
    for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        assert {(f"HAD_{name}_real_00000001", "Real", split, None, "zh"),
                (f"HAD_{name}_fake_00000001", "Hybrid", split, ((2.1, 2.6),), "zh")} <= facts(
            dataset, "label", "split", "spans", "language")  # fmt: skip
    assert dataset.warnings == []


@pytest.mark.parametrize(
    ("dataset", "clip", "row"),
    [
        (trees.half_truth, "HAD_train_fake_00000001", "line 2: HAD_train_fake_00000001 to 3.4 s of 3.30 s"),
        (trees.partial_spoof, "CON_T_0000001", "line 2: CON_T_0000001 to 0.4 s of 0.30 s"),
        (
            trees.llama_partial_spoof,
            "dev01-cosyvoice-partial-cf_8842_304647_000034_000001",
            "line 3: dev01-cosyvoice-partial-cf_8842_304647_000034_000001 to 1.974 s of 1.85 s",
        ),
    ],
)
def test_segments_behind_the_end_of_a_clip_are_refused_with_their_rows(grow, dataset, clip, row):
    dataset(grow)
    last = float(row.split()[-2])
    (path,) = grow.root.rglob(f"{clip}.wav")
    for seconds in (last + 0.13, last):
        grow.clips(str(path.relative_to(grow.root)), seconds=seconds)
        if seconds == last:
            with pytest.raises(CorpusError, match=rf"1 row ends behind the end of a clip \({re.escape(row)}\)"):
                find_datasets([grow.root])
        else:
            assert one(grow.root).ignored == {}


def test_labels_in_long_steps_may_end_within_the_last_one(grow):
    trees.partial_spoof(grow, labels=False)
    folder = grow.root / "database" / "segment_labels"
    folder.mkdir()
    np.save(folder / "train_seglab_0.32.npy", {"CON_T_0000001": np.array(["1", "0"])}, allow_pickle=True)
    assert ("CON_T_0000001", ((0.32, 0.64),)) in facts(one(grow.root), "spans")


def test_llama_partial_spoof(grow):
    trees.llama_partial_spoof(grow)
    dataset = one(grow.root)
    assert dataset.layout == "LlamaPartialSpoof" and dataset.ignored == {}
    assert facts(dataset, "label", "speaker", "generator", "spans", "split") == {
        ("dev-clean_1272_128104_000005_000014", "Real", "LibriTTS 1272", "", None, ""),
        ("dev01-cosyvoice-full_1272_128104_000005_000014", "Fake", "LibriTTS 1272", "cosyvoice", None, ""),
        ("dev01-cosyvoice-partial-cf_8842_304647_000034_000001", "Hybrid", "LibriTTS 8842", "cosyvoice",
         ((0.851, 1.191),), ""),
    }  # fmt: skip


@pytest.mark.parametrize("meta", [True, False])
def test_mlaad(grow, meta):
    trees.mlaad(grow, meta)
    dataset = one(grow.root)
    assert dataset.layout == "MLAAD" and "pair it with M-AILABS" in dataset.warnings[0] and len(dataset.warnings) == 1
    models = ("facebook/mms-tts-deu", "vits") if meta else ("facebook_mms-tts-deu", "tts_models_en_ljspeech_vits")
    assert [(c.label, c.language, c.generator) for c in sorted(dataset.clips, key=lambda clip: clip.name)] == [
        ("Fake", "de", models[0]),
        ("Fake", "en", models[1]),
    ]


def test_folders_with_partitions_of_their_own(grow):
    grow.clips(*(f"{split}/{label}/anna/1.wav" for split in ("Train", "dev", "EVAL") for label in ("real", "fake")))
    grow.clips("real/bert/test/2.wav")
    dataset = one(grow.root)
    assert dataset.layout == layouts.GENERAL and "sets by folders" in dataset.why
    assert sorted({(clip.split, clip.label, clip.speaker, clip.generator) for clip in dataset.clips}) == [
        *(("test", "Fake", "", "anna"), ("test", "Real", "anna", ""), ("test", "Real", "bert", "")),
        *((split, *rest) for split in ("train", "validation") for rest in (("Fake", "", "anna"), ("Real", "anna", ""))),
    ]


@pytest.mark.parametrize("folder", ["test", "dev", "validation"])
def test_a_single_folder_called_like_a_partition_is_none(tmp_path, folder):
    grow = trees.Grower(tmp_path / folder)
    grow.clips(f"{folder}/real/anna/1.wav", "fake/xtts/2.wav")
    assert {(c.split, c.speaker or c.generator) for c in one(grow.root).clips} == {("", "anna"), ("", "xtts")}


def test_a_table_may_name_sets(grow):
    grow.clips("a.wav", "b.wav", "c.wav")
    grow.text("clips.csv", "path,label,split", "a.wav,real,Training", "b.wav,fake,dev", "./c.wav,hybrid,")
    dataset = one(grow.root)
    assert dataset.layout == "clips.csv"
    assert facts(dataset, "label", "split") == {
        ("a", "Real", "train"),
        ("b", "Fake", "validation"),
        ("c", "Hybrid", ""),
    }
    grow.text("clips.csv", "path,label,split", "a.wav,real,left")
    with pytest.raises(CorpusError, match=r"line 2: split 'left' is not train, validation or test"):
        find_datasets([grow.root])


# Several at once


def test_datasets_below_one_folder_and_in_several_mix(tmp_path):
    data, other = trees.Grower(tmp_path / "data"), trees.Grower(tmp_path / "other")
    trees.asvspoof_2019(data, top="kaggle/asv/LA/LA/")
    trees.partial_spoof(data)
    trees.half_truth(data)
    trees.fake_or_real(data)
    data.clips("mine/real/anna/1.wav", "table/x.wav")
    data.text("table/clips.csv", "path,label", "x.wav,fake")
    trees.in_the_wild(other)
    found = {d.layout: len(d.clips) for d in find_datasets([data.root, other.root])}
    assert found == {
        "clips.csv": 1,
        "ASVspoof 2019 LA": 6,
        "PartialSpoof": 9,
        "Half-Truth (HAD)": 6,
        "Fake-or-Real (for-norm)": 6,
        layouts.GENERAL: 1,
        "In-the-Wild": 3,
    }
    names = [clip.name for dataset in find_datasets([data.root, other.root]) for clip in dataset.clips]
    assert len(set(names)) == len(names) == 32


def test_clips_of_one_name_stay_with_their_own_list(grow):
    """PartialSpoof keeps the names of the genuine clips that it took from ASVspoof 2019."""
    trees.partial_spoof(grow)
    trees.asvspoof_2019(grow)
    la, partial = find_datasets([grow.root])
    assert (la.layout, partial.layout) == ("ASVspoof 2019 LA", "PartialSpoof")
    assert all("/flac/" in clip.name for clip in la.clips) and len(la.clips) == 6
    assert all("/con_wav/" in clip.name for clip in partial.clips) and len(partial.clips) == 9


def test_two_copies_of_a_dataset_each_keep_their_clips(grow):
    trees.asvspoof_2019(grow, top="one/")
    trees.asvspoof_2019(grow, top="two/")
    dataset = one(grow.root)
    assert len(dataset.clips) == len({clip.name for clip in dataset.clips}) == 12 and dataset.ignored == {}


def test_every_layout_has_a_name():
    names = layout_names()
    assert len(names) == len(set(names)) == 17 and not any(mark in " ".join(names) for mark in ("{", "repacked"))
    for name in ("Fake-or-Real", "DEEP-VOICE", "In-the-Wild", "ASVspoof 5", "PartialSpoof", "MLAAD", "WaveFake"):
        assert name in names


# What is wrong with real disks


def test_lines_that_cannot_be_used_are_counted_with_examples(grow):
    trees.asvspoof_2019(grow, sets=("train",))
    folder = "LA/LA/ASVspoof2019_LA_cm_protocols"
    grow.text(
        f"{folder}/ASVspoof2019.LA.cm.train.trn.txt",
        "LA_0079 LA_T_1138215 - - bonafide",
        "LA_0079 LA_T_1138215 - A01 spoof",
        "LA_0079 LA_T_1271820",
        "",
        "LA_0079 LA_T_1271820 - A01 nonsense",
        "LA_0079 LA_T_1271820 - A01 1",
        "LA_0079 LA_T_9999999 - A01 spoof",
        end="\r\n",
    )
    grow.clips("LA/LA/ASVspoof2019_LA_train/flac/LA_T_0000001.flac", "LA/LA/ASVspoof2019_LA_dev/flac/LA_D_0000001.flac")
    dataset = one(grow.root)
    assert facts(dataset, "label") == {("LA_T_1138215", "Real")}
    assert reasons(dataset) == {
        "lines that name a clip again": 1,
        "lines with missing columns": 1,
        "lines with a label that is neither real nor fake": 2,
        "clips that a list names but that are not there": 1,
        "recordings that no list names": 3,
    }
    assert dataset.ignored["lines with missing columns"].examples == [
        "ASVspoof2019.LA.cm.train.trn.txt line 3: LA_0079 LA_T_1271820"
    ]
    assert "LA/LA/ASVspoof2019_LA_dev/flac/LA_D_0000001.flac" in (
        dataset.ignored["recordings that no list names"].examples
    )


def test_labels_that_contradict_the_segments_are_counted(grow):
    grow.text(
        "label_R01TTS.0.a.txt",
        "dev-clean_1_2_3_4 2.0 bonafide 0.0000-1.0000-bonafide 1.0000-2.0000-spoof",
        "dev-clean_1_2_3_5 2.0 bonafide",
        "dev01-x-full_1_2_3_6 2.0 spoof 0.0000-2.0000-bonafide",
        "dev01-x-full_1_2_3_7 2.0 spoof 0.0000-two-spoof",
        "dev01-x-full_1_2_3_8 2.0 spoof 0.0000-2.0000-maybe",
        "dev01-x-full_1_2_3_a 2.0 spoof 0.0000-inf-spoof",
        "dev01-x-full_1_2_3_9 2.0",
    )
    grow.clips(*(f"R01TTS.0.a/dev-clean_1_2_3_{n}.wav" for n in "45"))
    grow.clips(*(f"R01TTS.0.a/dev01-x-full_1_2_3_{n}.wav" for n in "6789a"))
    dataset = one(grow.root)
    assert facts(dataset, "label") == {("dev-clean_1_2_3_5", "Real")}
    assert reasons(dataset) == {
        "lines whose label contradicts their segments": 2,
        "lines or files with segments that cannot be read": 3,
        "lines with missing columns": 1,
        "recordings that no list names": 6,
    }


def test_recordings_without_their_list_are_not_guessed(grow):
    grow.clips("PartialSpoof/database/train/con_wav/CON_T_0000001.wav", "ASVspoof2019_LA_train/flac/LA_T_1.flac")
    with pytest.raises(CorpusError) as error:
        find_datasets([grow.root])
    assert "1 recording of PartialSpoof without its list of labels" in str(error.value)
    assert "1 recording of ASVspoof 2019 LA without its list of labels" in str(error.value)
    grow.clips("other/real/1.wav")
    assert [(d.layout, len(d.clips)) for d in find_datasets([grow.root])] == [
        ("ASVspoof 2019 LA", 0),
        ("PartialSpoof", 0),
        (layouts.GENERAL, 1),
    ]


def test_recordings_that_somebody_sorted_need_no_list(grow):
    grow.clips("ASVspoof2019_LA_train/real/LA_T_1.flac", "ASVspoof2019_LA_train/fake/LA_T_2.flac")
    assert facts(one(grow.root), "label") == {("LA_T_1", "Real"), ("LA_T_2", "Fake")}


def test_a_table_with_numbers_for_labels_leaves_the_folders_to_decide(grow):
    grow.text("x/meta.csv", "file,speaker,label", "0.wav,anna,0", "1.wav,bert,1")
    grow.clips("x/real/0.wav", "x/fake/1.wav")
    dataset = one(grow.root)
    assert facts(dataset, "label") == {("0", "Real"), ("1", "Fake")}
    assert reasons(dataset) == {"lines with a label that is neither real nor fake": 2}


def test_the_header_of_a_known_table_may_be_in_capitals(grow):
    grow.text("meta.csv", "File,Speaker,Label", "0.wav,anna,spoof")
    grow.clips("0.wav")
    assert facts(one(grow.root), "label", "speaker") == {("0", "Fake", "anna")}


def test_rows_of_a_table_that_cannot_be_used_are_counted(grow):
    grow.text(
        "meta.csv", "file,speaker,label", "0.wav,anna,spoof", "1.wav,bert,human?", "2.wav,carl,spoof", ",dora,spoof"
    )
    grow.clips("0.wav", "1.wav", "other.wav")
    dataset = one(grow.root)
    assert facts(dataset, "label") == {("0", "Fake")}
    assert reasons(dataset) == {
        "lines with a label that is neither real nor fake": 1,
        "clips that a list names but that are not there": 1,
        "lines with missing columns": 1,
        "recordings that no list names": 2,
    }
    assert dataset.ignored["clips that a list names but that are not there"].examples == ["meta.csv line 4: 2.wav"]


def test_a_folder_that_matches_nothing_is_refused_with_what_would_fit(grow):
    grow.clips("takes/one.wav", "takes/two.wav")
    with pytest.raises(CorpusError) as error:
        find_datasets([grow.root])
    sentence, known, said, advice, *lines = str(error.value).splitlines()
    assert sentence.startswith(f"{grow.root.resolve()} holds 2 recordings but no folder named after a class.")
    assert all(name in known for name in layout_names())
    assert said == "Say what a folder holds:  --label takes=real or --label takes=fake"
    assert "clips.csv" in advice and [line.strip() for line in lines] == ["path,label", "takes/one.wav,real"]
    grow.text("clips.csv", *(line.strip() for line in lines))
    assert facts(find_datasets([grow.root])[0], "label") == {("one", "Real")}


def links_work(tmp_path) -> bool:
    try:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        (tmp_path / "link").unlink()
    except OSError:
        return False
    return True


def test_links_are_followed_once_and_loops_end(grow, tmp_path):
    if not links_work(tmp_path):
        pytest.skip("this system makes no symbolic links")
    grow.clips("real/anna/1.wav")
    trees.Grower(tmp_path / "elsewhere").clips("fake/xtts/2.wav", "fake/xtts/3.wav")
    (grow.root / "a-loop").symlink_to(grow.root, target_is_directory=True)
    (grow.root / "real" / "again").symlink_to(grow.root / "real" / "anna", target_is_directory=True)
    (grow.root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (grow.root / "real" / "broken.wav").symlink_to(tmp_path / "gone.wav")
    (grow.root / "itself").symlink_to("itself", target_is_directory=True)
    (tmp_path / "elsewhere" / "fake" / "up").symlink_to(tmp_path, target_is_directory=True)
    dataset = one(grow.root)
    assert {clip.name for clip in dataset.clips} == {
        "set/real/anna/1.wav",
        "set/linked/fake/xtts/2.wav",
        "set/linked/fake/xtts/3.wav",
    }
    assert {clip.path for clip in dataset.clips if clip.label == "Fake"} == {
        (tmp_path / "elsewhere" / "fake" / "xtts" / f"{n}.wav").resolve() for n in "23"
    }
    assert reasons(dataset)["links to nothing and special files"] == 2
    assert reasons(dataset)["links to a folder that is listed anyway"] >= 2


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always text")
def test_names_that_are_not_utf_8_are_counted(grow):
    grow.clips("real/good.wav", "fake/good.wav")
    try:
        Path(os.fsdecode(bytes(grow.root / "real") + b"/caf\xe9.wav")).write_bytes(b"")
        Path(os.fsdecode(bytes(grow.root) + b"/d\xe9j\xe0")).mkdir()
    except OSError:
        pytest.skip("this disk takes only UTF-8")
    dataset = one(grow.root)
    assert len(dataset.clips) == 2
    entry = dataset.ignored["names that are not valid UTF-8"]
    assert entry.count == 2 and entry.examples[1] == "real/caf\\udce9.wav"
    with pytest.raises(CorpusError, match="not valid UTF-8; rename it"):
        find_datasets([Path(os.fsdecode(bytes(grow.root) + b"/d\xe9j\xe0"))])


def test_folders_that_cannot_be_read_are_counted(grow, monkeypatch):
    grow.clips("real/1.wav", "fake/2.wav", "locked/real/3.wav")
    scandir = os.scandir

    def locked(path):
        if Path(path).name == "locked" or path == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    forbidden = ""
    monkeypatch.setattr(os, "scandir", locked)
    dataset = one(grow.root)
    assert facts(dataset, "label") == {("1", "Real"), ("2", "Fake")}
    assert dataset.ignored["folders that cannot be read (Permission denied)"].examples == ["locked"]
    forbidden = str(grow.root.resolve())
    with pytest.raises(CorpusError, match=r"set cannot be read \(Permission denied\); check its permissions"):
        find_datasets([grow.root])


def test_paths_that_windows_does_not_open_are_counted(grow, monkeypatch):
    grow.clips("real/1.wav", "fake/2.wav", "fake/long.wav")
    monkeypatch.setattr(tree, "_too_long", lambda path: path.endswith("long.wav"))
    dataset = one(grow.root)
    assert len(dataset.clips) == 2
    (reason,) = dataset.ignored
    assert "Windows" in reason and dataset.ignored[reason].examples == ["fake/long.wav"]


def test_only_windows_has_paths_that_are_too_long(tmp_path):
    assert tree._too_long("x" * 400) == (os.name == "nt")


def test_what_is_hidden_is_counted(grow):
    grow.clips("real/1.wav", "real/._1.wav", "__MACOSX/real/2.wav", ".trash/3.wav")
    assert reasons(one(grow.root)) == {tree.HIDDEN: 3}


def test_a_file_reached_twice_is_reported(grow):
    grow.clips("real/1.wav", "fake/2.wav")
    first, second = find_datasets([grow.root, grow.root / "real"])
    assert len(first.clips) == 2 and second.clips == []
    assert reasons(second) == {"clips that are listed already": 1}


def test_clips_carry_no_more_than_is_known(grow):
    trees.in_the_wild(grow)
    clip = next(clip for clip in one(grow.root).clips if clip.path.stem == "2")
    path = (grow.root / "release_in_the_wild" / "2.wav").resolve()
    assert clip == Clip("set/release_in_the_wild/2.wav", path, "Fake", speaker="Barack Obama", language="en")
