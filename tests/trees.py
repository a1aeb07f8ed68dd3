"""Datasets as they come off the disk, with true names and formats and a hundredth of a second of noise per clip."""

import io
import zlib

import numpy as np
import soundfile


def sound(suffix: str, *number: int, seconds: float = 0.01) -> bytes:
    """Return a small valid recording, another one for every number."""
    buffer = io.BytesIO()
    samples = np.resize(np.random.default_rng(number or 0).normal(0.0, 0.1, 160), round(seconds * 16_000))
    soundfile.write(buffer, samples, 16_000, format={".wav": "WAV", ".flac": "FLAC", ".mp3": "MP3"}[suffix])
    return buffer.getvalue()


class Grower:
    """Writes files below a folder."""

    def __init__(self, root):
        self.root = root
        self.made = 0

    def clips(self, *paths: str, seconds: float = 0.01) -> None:
        """Write recordings."""
        for path in paths:
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self.made += 1
            target.write_bytes(
                sound(target.suffix.lower(), self.made, zlib.crc32(str(self.root).encode()), seconds=seconds)
            )

    def text(self, path: str, *lines: str, end: str = "\n") -> None:
        """Write a list or table."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes("".join(line + end for line in lines).encode())


def fake_or_real(grow: Grower, top: str = "for-norm/for-norm", each: int = 1) -> None:
    endings = {"for-2sec": "_2sec.wav", "for-norm": "_silence.wav"}
    ending = endings.get(top.split("/")[0], ".wav")
    for split in ("training", "validation", "testing"):
        for label in ("real", "fake"):
            for number in range(each):
                grow.clips(f"{top}/{split}/{label}/file{number + 1}.wav_16k.wav_norm.wav_mono.wav{ending}")


def deep_voice(grow: Grower) -> None:
    grow.clips("KAGGLE/AUDIO/REAL/biden-original.wav", "KAGGLE/AUDIO/REAL/musk-original.wav")
    grow.clips("KAGGLE/AUDIO/FAKE/Obama-to-Biden.wav", "KAGGLE/AUDIO/FAKE/biden-to-Musk.wav")
    grow.clips(*(f"DEMONSTRATION/DEMONSTRATION/linus-{what}-DEMO.mp3" for what in ("original", "to-musk")))
    grow.text("KAGGLE/DATASET-balanced.csv", "chroma_stft,rms,LABEL", "0.3,0.02,FAKE")


def in_the_wild(grow: Grower, places=("0.wav", "1.wav", "2.wav"), top="release_in_the_wild") -> None:
    rows = ["0.wav,Alec Guinness,spoof", "1.wav,Alec Guinness,bona-fide", "2.wav,Barack Obama,spoof"]
    grow.text(f"{top}/meta.csv", "file,speaker,label", *rows)
    grow.clips(*(f"{top}/{place}" for place in places))


def asvspoof_2017(grow: Grower) -> None:
    for split, letter, ending in (("train", "T", "trn"), ("dev", "D", "trl"), ("eval", "E", "trl")):
        real, fake = f"{letter}_1000001.wav", f"{letter}_1001508.wav"
        grow.text(
            f"protocol_V2/ASVspoof2017_V2_{split}.{ending}.txt",
            f"{real} genuine M0001 S01 - - -",
            f"{fake} spoof M0002 S10 E02 P07 R04",
        )
        grow.clips(*(f"ASVspoof2017_V2_{split}/{name}" for name in (real, fake)))


def asvspoof_2019(grow: Grower, task="LA", sets=("train", "dev", "eval"), top="LA/LA/") -> None:
    middle = {"LA": "-", "PA": "aaa"}[task]
    attacks = {"LA": {"train": "A01", "dev": "A01", "eval": "A07"}, "PA": dict.fromkeys(("train", "dev", "eval"), "AA")}
    for number, split in enumerate(sets):
        letter, ending = split[0].upper(), "trn" if split == "train" else "trl"
        real, fake = f"{task}_{letter}_1138215", f"{task}_{letter}_1271820"
        grow.text(
            f"{top}ASVspoof2019_{task}_cm_protocols/ASVspoof2019.{task}.cm.{split}.{ending}.txt",
            f"{task}_00{number}9 {real} {middle} - bonafide",
            f"{task}_00{number}9 {fake} {middle} {attacks[task][split]} spoof",
        )
        grow.clips(*(f"{top}ASVspoof2019_{task}_{split}/flac/{name}.flac" for name in (real, fake)))


def asvspoof_2021(grow: Grower, task="LA") -> None:
    if task == "LA":
        rows = ["LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
                "LA_0020 LA_E_6866159 alaw ita_tx bonafide bonafide notrim progress"]  # fmt: skip
        grow.clips("ASVspoof2021_LA_eval/flac/LA_E_9332881.flac", "ASVspoof2021_LA_eval/flac/LA_E_6866159.flac")
        # The speaker verification list has the same name and other columns.
        verification = "LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx alaw ita_tx bonafide nontarget notrim eval"
        grow.text("keys/LA/ASV/trial_metadata.txt", verification)
    else:
        rows = ["LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -",
                "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
                "Task1 team20 FF E",
                "LA_0043 DF_E_2000026 mp3m4a asvspoof bonafide bonafide notrim eval bonafide - - - -"]  # fmt: skip
        for part, number in (("00", "2000011"), ("01", "2000013"), ("01", "2000026")):
            grow.clips(f"ASVspoof2021_DF_eval_part{part}/ASVspoof2021_DF_eval/flac/DF_E_{number}.flac")
    grow.text(f"keys/{task}/CM/trial_metadata.txt", *rows)


def asvspoof_5(grow: Grower) -> None:
    for letter, name in (("T", "train"), ("D", "dev.track_1"), ("E", "eval.track_1")):
        real, fake = f"{letter}_0000000001", f"{letter}_0000000000"
        grow.text(
            f"ASVspoof5.{name}.tsv",
            f"{letter}_4850 {fake} F - - - AC3 A05 spoof -",
            f"{letter}_4851 {real} M - - - - bonafide bonafide -",
        )
        folder = {"T": "flac_T", "D": "flac_D", "E": "flac_E_eval"}[letter]
        grow.clips(*(f"{folder}/{clip}.flac" for clip in (real, fake)))


def wavefake(grow: Grower) -> None:
    grow.clips(
        "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav",
        "generated_audio/ljspeech_hifiGAN/LJ002-0001_gen.wav",
        "generated_audio/jsut_multi_band_melgan/BASIC5000_0001_gen.wav",
        "generated_audio/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav",
    )


def ljspeech(grow: Grower, top="LJSpeech-1.1") -> None:
    grow.clips(f"{top}/wavs/LJ001-0001.wav", f"{top}/wavs/LJ002-0001.wav")
    grow.text(f"{top}/metadata.csv", "LJ001-0001|Printing, in the only sense|Printing, in the only sense")


PARTLY = ["1"] * 10 + ["0"] * 20 + ["1"] * 10
SEGMENTS = {"real": ["1"] * 40, "partly": PARTLY, "fake": ["0"] * 40}


def partial_spoof(grow: Grower, labels: bool = True, vad: bool = False) -> None:
    for split in ("train", "dev", "eval"):
        letter = split[0].upper()
        names = {"real": f"LA_{letter}_1138215", "partly": f"CON_{letter}_0000001", "fake": f"CON_{letter}_0000002"}
        grow.text(
            f"database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{split}.trl.txt",
            f"LA_0079 {names['real']} - - bonafide",
            f"LA_0079 {names['partly']} - CON spoof",
            f"LA_0080 {names['fake']} - CON spoof",
        )
        grow.clips(*(f"database/{split}/con_wav/{name}.wav" for name in names.values()), seconds=0.4)
        folder = grow.root / "database" / "segment_labels"
        if labels:
            folder.mkdir(exist_ok=True)
            for step, every in (("0.01", 1), ("0.02", 2)):
                content = {name: np.array(SEGMENTS[kind][::every]) for kind, name in names.items()}
                np.save(folder / f"{split}_seglab_{step}.npy", content, allow_pickle=True)
        if vad:
            grow.text(f"database/vad/{split}/{names['real']}.vad", "0.00 0.30 1", "0.30 0.40 101")
            grow.text(f"database/vad/{split}/{names['partly']}.vad", "0.00 0.10 1", "0.10 0.25 5", "0.25 0.30 105",
                      "0.30 0.31 100", "0.31 0.40 1")  # fmt: skip
            grow.text(f"database/vad/{split}/{names['fake']}.vad", "0.00 0.40 7")


def half_truth(grow: Grower, flipped: bool = False) -> None:
    one, zero = ("0", "1") if flipped else ("1", "0")
    for split, folder in (("train", "train/conbine"), ("dev", "conbine"), ("test", "test")):
        real, fake = f"HAD_{split}_real_00000001", f"HAD_{split}_fake_00000001"
        grow.text(
            f"HAD_{split}/HAD_{split}_label.txt",
            f"{real} 0.00-3.52-T {one}",
            f"{fake} 0.00-2.10-T/2.10-2.60-F/2.60-3.40-T {zero}",
        )
        grow.clips(f"HAD_{split}/{folder}/{real}.wav", f"HAD_{split}/{folder}/{fake}.wav", seconds=3.52)


def llama_partial_spoof(grow: Grower) -> None:
    rows = ["dev-clean_1272_128104_000005_000014 5.6150 bonafide 0.0000-5.6150-bonafide",
            "dev01-cosyvoice-full_1272_128104_000005_000014 5.3000 spoof 0.0000-5.3000-spoof",
            "dev01-cosyvoice-partial-cf_8842_304647_000034_000001 1.9740 spoof 0.0000-0.8510-bonafide "
            "0.8510-1.1910-spoof 1.1910-1.9740-bonafide"]  # fmt: skip
    grow.text("label_R01TTS.0.a.txt", *rows)
    grow.clips(*(f"R01TTS.0.a/{row.split()[0]}.wav" for row in rows), seconds=5.7)
    grow.text("metadata_crossfade.csv", "name,shape")


def mlaad(grow: Grower, meta: bool = True, top="MLAADv5") -> None:
    head = "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
    for language, folder, model in (
        ("en", "tts_models_en_ljspeech_vits", "vits"),
        ("de", "facebook_mms-tts-deu", "facebook/mms-tts-deu"),
    ):
        here = f"{top}/fake/{language}/{folder}"
        grow.clips(f"{here}/a_01_f.wav")
        if meta:
            original = "./en_US/by_book/female/judy_bieber/the_master_key/wavs/the_master_key_05_f000135.wav"
            row = f"./fake/{language}/{folder}/a_01_f.wav|{original}|{language}|True|4.1|LJSpeech|{model}|vits|Hello."
            grow.text(f"{here}/meta.csv", head, row)


def m_ailabs(grow: Grower) -> None:
    grow.clips("en_US/by_book/female/judy_bieber/the_master_key/wavs/the_master_key_05_f000135.wav")
