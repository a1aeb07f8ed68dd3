"""What was tried against the project, and what was lost: figures for the README and RESULTS.md.

    python tests/benchmarks/withstand.py audio [--files 10000]     damaged recordings of every container
    python tests/benchmarks/withstand.py bombs [--hours 100]       a megabyte that unpacks to days
    python tests/benchmarks/withstand.py microphone [--hours 24]   listening for a day, as fast as it goes
    python tests/benchmarks/withstand.py scan [--files 20000]      memory and handles over a large folder
    python tests/benchmarks/withstand.py kills [--kills 50]        SIGKILL at random moments of training and scanning
    python tests/benchmarks/withstand.py interrupts [--times 20]   Ctrl-C at moments spread over every work's life
    python tests/benchmarks/withstand.py disk                      full, read-only and vanished (Linux, as root)
    python tests/benchmarks/withstand.py all

Everything is made here from a seed, in a temporary folder; each command prints a table and ends with 1 if anything was
lost.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from deepfake_audio import decoding, scan  # noqa: E402 - after the path to it
from deepfake_audio.audio import quantise, read_audio  # noqa: E402
from deepfake_audio.checkpoint import Checkpoint  # noqa: E402
from deepfake_audio.detector import Detector  # noqa: E402
from deepfake_audio.errors import AudioError  # noqa: E402
from deepfake_audio.evaluation import read_scores  # noqa: E402
from deepfake_audio.features import mel_filters  # noqa: E402
from deepfake_audio.settings import CLASS_NAMES, SAMPLE_RATE, Settings  # noqa: E402

MODEL = {"name": "none/model.keras", "trained": "never", "version": "0"}

FFMPEG_TARGETS = (
    *(("m4a", "aac"), ("m4a", "alac"), ("aac", "aac"), ("ac3", "ac3"), ("eac3", "eac3"), ("wma", "wmav2")),
    *(("amr", "libopencore_amrnb"), ("3gp", "libopencore_amrnb"), ("webm", "libopus"), ("mka", "flac")),
    *(("mov", "pcm_s24le"), ("avi", "mp2"), ("flv", "libmp3lame"), ("tta", "tta"), ("wv", "wavpack")),
    *(
        ("mp2", "mp2"),
        ("ts", "aac"),
        ("rm", "ac3"),
        ("mp4", "aac"),
        ("caf", "alac"),
        ("ogg", "flac"),
        ("voc", "pcm_u8"),
    ),
)

INTRICATE = ("FLAC", "MP3", "OGG", "ALAC", "ADPCM", "GSM", "G72", "DWVW")
"""What is more than numbers in a row gets a larger share of the damage, like everything that ffmpeg decodes."""

BOUNDARIES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


class Coin:
    """An engine that knows nothing."""

    def __init__(self, settings: Settings):
        self.window, self.mel_filters = settings.window, mel_filters(settings.features)

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """Answer like a network, shape for shape."""
        frames = np.full((len(windows), self.window.label_frames, 1), 0.5)
        return {"verdict": np.full((len(windows), len(CLASS_NAMES)), 1 / 3), "timeline": frames, "joins": 0 * frames}


class Listener(Detector):
    """A detector that reads, transforms and decides like any other, with a coin for a network."""

    def __init__(self):
        self.settings, self.threshold, self._pool = Settings(), None, None
        self.checkpoint = Checkpoint(Path("none"), self.settings, "never", "0", 0, "", {})
        self.engine = Coin(self.settings)


def peak_mib() -> float:
    """Return the peak memory of this process."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def now_mib() -> float:
    """Return the memory of this process now, where Linux tells it, or else its peak."""
    status = Path("/proc/self/status")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text("ascii"))[1]) / 1024 if status.is_file() else peak_mib()


def handles() -> int:
    """Return the number of open files and pipes, where Linux tells it."""
    return len(list(Path("/proc/self/fd").glob("*"))) if Path("/proc/self/fd").is_dir() else 0


def decoder_mib(pid: int) -> float:
    """Return the peak memory of another process, where Linux tells it."""
    status = Path(f"/proc/{pid}/status")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text("ascii"))[1]) / 1024 if status.is_file() else 0.0


def table(rows: list[tuple]) -> None:
    """Print rows, the first of which is the head."""
    print("|" + "|".join(f" {cell} " for cell in rows[0]) + "|\n|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("|" + "|".join(f" {cell} " for cell in row) + "|", flush=True)


# Damaged recordings


def originals(folder: Path, seconds: float = 1.0) -> list[tuple[str, bytes]]:
    """Return sound in every container and coding that libsndfile and ffmpeg can write here."""
    import imageio_ffmpeg

    sound = np.random.default_rng(0).normal(0.0, 0.1, (round(seconds * SAMPLE_RATE), 2)).cumsum(axis=0)
    sound = 0.5 * sound / np.abs(sound).max()
    made = []
    for container in sorted(set(soundfile.available_formats()) - {"RAW"}):  # RAW has nothing to know it by
        for coding in sorted(soundfile.available_subtypes(container)):
            path = folder / "original"
            for samples in (sound, sound[:, 0]):  # some codings are for one channel only
                try:
                    soundfile.write(path, samples, SAMPLE_RATE, format=container, subtype=coding)
                except (soundfile.SoundFileError, ValueError):
                    continue
                name = f"{container} {coding}"
                made += [(name, path.read_bytes())] * (4 if any(word in name for word in INTRICATE) else 1)
                break
    soundfile.write(folder / "source.wav", sound, SAMPLE_RATE)
    for suffix, codec in FFMPEG_TARGETS:
        path = folder / f"target.{suffix}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-y", "-i", folder / "source.wav", "-c:a", codec]
        rate = ["-ar", "8000", "-ac", "1"] if "amr" in codec else []
        if subprocess.run([*command, *rate, path], check=False).returncode == 0:
            made += [(f"{suffix} {codec}", path.read_bytes())] * 4
    return made


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done to a file, and the file."""
    kind = str(rng.choice(["bits", "header bits", "sizes", "chunks", "cut", "joined", "zeros", "inserted"]))
    data = bytearray(data)
    size = len(data)
    at = int(rng.integers(size))
    if kind in ("bits", "header bits"):
        within = min(size, 256) if kind == "header bits" else size
        for place in rng.integers(within, size=int(2 ** rng.uniform(0, 7))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "sizes":
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(min(size - 4, 400))) & ~1
            form = str(rng.choice(["<I", ">I", "<H", ">H", "B"]))
            value = int(rng.choice(BOUNDARIES)) & (2 ** (8 * struct.calcsize(form)) - 1)
            struct.pack_into(form, data, place, value)
    elif kind == "chunks":
        # Names of four letters begin the parts of RIFF, AIFF, CAF and MP4.
        names = [match.start() for match in re.finditer(rb"[A-Za-z]{3}[A-Za-z ]", data[:4000])] or [0]
        first, second = (int(rng.choice(names)) for _ in range(2))
        piece = data[first : first + int(rng.integers(4, 2000))]
        if rng.random() < 0.5:
            del data[first : first + len(piece)]
        else:
            data[second:second] = piece
    elif kind == "cut":
        del data[at:]
    elif kind == "joined":
        data = data[: int(rng.choice([at, size]))] + other[int(rng.choice([0, rng.integers(len(other))])) :]
    elif kind == "zeros":
        data[at : at + 2000] = bytes(len(data[at : at + 2000]))
    else:
        data[at:at] = rng.bytes(int(2 ** rng.uniform(0, 12)))
    return kind, bytes(data) or b"\0"


def audio(arguments: argparse.Namespace) -> bool:
    """Have damaged files answered as script.py does; return whether all were."""
    sentences, verdicts, kinds, lost, slowest = Counter(), Counter(), Counter(), [], (0.0, "")
    listener, rng = Listener(), np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources = originals(folder)
        names = list(dict(sources))
        print(f"{len(names)} originals: {', '.join(names)}", file=sys.stderr)

        def made():
            for number, (name, data) in zip(range(arguments.files), itertools.cycle(sources), strict=False):
                kind, content = damaged(data, sources[rng.integers(len(sources))][1], rng)
                kinds[kind] += 1
                path = folder / f"{number} {name} {kind}.audio"
                path.write_bytes(content)
                yield path, None

        def judge(path: Path) -> scan.Answer:
            started = time.monotonic()
            answer = scan.answer(path, listener, MODEL)
            answer.result["took"] = time.monotonic() - started
            return answer

        started = time.monotonic()
        answers = scan.answer_all(made(), judge, MODEL, arguments.jobs)
        for number in range(arguments.files):
            try:
                result = next(answers).result
            except Exception as error:  # the very thing that must not happen
                lost.append(f"after {number}: {error!r}")
                break
            path = Path(result["path"])
            verdicts[result["verdict"]] += 1
            if result["error"]:
                sentences[result["error"].replace(f"'{path}'", "X")] += 1
            if any(word in (result["error"] or "") for word in ("crash", "within", "MiB")):
                (arguments.keep / path.name).write_bytes(path.read_bytes())
            slowest = max(slowest, (result["took"], path.name))
            path.unlink()
            if number % 500 == 499:
                print(f"{number + 1} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        answers.close()
        decoders = max(decoder_mib(decoder.pid) for decoder in decoding._idle)
    table([("damage", "files"), *kinds.most_common()])
    table([("answer", "files"), *verdicts.most_common()])
    table([("sentence", "files"), *sentences.most_common()])
    print(f"Slowest: {slowest[0]:.1f} s ({slowest[1]})")
    print(f"Peak memory: {peak_mib():.0f} MiB, of a decoder {decoders:.0f} MiB")
    answered = sum(verdicts.values())
    print(f"{answered} of {arguments.files} answered in {time.monotonic() - started:.0f} s; lost: {lost or 'nothing'}")
    return answered == arguments.files


# Bombs

BOMB_MIB = 2048
"""What answering a bomb may take, of the asking process and of a decoder."""


def bombs(arguments: argparse.Namespace) -> bool:
    """Have files answered that unpack to far more than they are; return whether none took more memory than allowed."""
    import withstand_bombs

    rows, peaks = [("file", "size", "hours", "answer", "seconds", "peak memory", "of a decoder")], []
    kinds = {
        "bomb.flac": withstand_bombs.flac_of_silence,
        "bomb.opus": withstand_bombs.opus_of_silence,
        "bomb.m4a": withstand_bombs.alac_of_silence,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.kinds or kinds:
            path = Path(folder) / name
            kinds[name](path, arguments.hours)
            # Judged first: the peak of the process only grows.
            for way, judge in (("judged", scan_one), ("read for training", read_one)):
                started = time.monotonic()
                done = judge(path)
                took = time.monotonic() - started
                size = f"{path.stat().st_size / 2**20:.1f} MiB"
                peaks += [peak_mib(), max((decoder_mib(decoder.pid) for decoder in decoding._idle), default=0.0)]
                memory = (f"{mib:.0f} MiB" for mib in peaks[-2:])
                rows.append((f"{name}, {way}", size, arguments.hours, done, f"{took:.0f}", *memory))
                print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
            path.unlink()
    table(rows)
    return max(peaks) <= BOMB_MIB


def scan_one(path: Path) -> str:
    """Return what is answered to one recording."""
    result = scan.answer(path, Listener(), MODEL).result
    return result["verdict"] or result["error"].replace(str(path), path.name)


def read_one(path: Path) -> str:
    """Return what becomes of a recording in a corpus."""
    try:
        return f"{len(read_audio(path))} samples"
    except AudioError as error:
        return str(error).replace(str(path), path.name)


# A day of listening


class Stopwatch:
    """A microphone at 44.1 kHz that delivers a day as fast as it is taken: phrases, pauses, and noise."""

    name, native_rate, lost_seconds = "simulated", 44_100, 0.0

    def __init__(self, hours: float, step_seconds: float = 1.0):
        self.count, self.step = round(hours * 3600 / step_seconds), round(step_seconds * self.native_rate)
        rng = np.random.default_rng(0)
        speech = rng.normal(0.0, 0.05, 60 * self.native_rate) * np.repeat(rng.random(600) < 0.1, self.native_rate // 10)
        self.minute = (speech + rng.normal(0.0, 1e-4, len(speech))).astype(np.float32)
        self.samples = 0

    def waiting_seconds(self) -> float:
        return 0.0

    def pieces(self):
        """Resample and quantise as the real one does."""
        resampler = soxr.ResampleStream(self.native_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        for number in range(self.count):
            at = number * self.step % len(self.minute)
            piece = quantise(resampler.resample_chunk(self.minute[at : at + self.step]))
            self.samples += len(piece)
            yield piece
        raise KeyboardInterrupt  # which is how listening ends


def microphone(arguments: argparse.Namespace) -> bool:
    """Listen for a day and judge the recording; return whether memory stayed and nothing is missing."""
    from deepfake_audio.microphone import listen

    source, rows, after = Stopwatch(arguments.hours), [("hour", "memory", "handles")], []

    def show(moment) -> None:
        hour = moment.seconds / 3600
        if hour >= len(after) * arguments.hours / 24 + arguments.hours / 24 - 1e-9:
            after.append(now_mib())
            rows.append((f"{hour:.1f}", f"{after[-1]:.0f} MiB", handles()))

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "recording.flac"
        started = time.monotonic()
        ended = listen(Listener(), source, path, show)
        listened = time.monotonic() - started
        recorded = soundfile.info(path).frames
        judgement = Listener().judge(path)
    table(rows)
    expected = source.count * source.step * SAMPLE_RATE / source.native_rate
    growth = max(after) / after[0]
    complete = recorded == source.samples and len(judgement.frame_probabilities) * 320 >= recorded
    print(
        f"{arguments.hours:g} h in {listened:.0f} s; memory grew by {100 * (growth - 1):.1f} %; "
        f"{recorded} samples recorded of {expected:.0f} sent (the rest is in the resampler); the recording is judged "
        f"over {judgement.seconds / 3600:.4f} h, timeline of {len(judgement.frame_probabilities)} frames; "
        f"peak memory then {peak_mib():.0f} MiB; ended: {ended or 'by Ctrl-C'}"
    )
    return growth <= 1.05 and complete


# A large folder


def large_folder(arguments: argparse.Namespace) -> bool:
    """Scan a large folder into a table; return whether memory and handles stayed."""
    rows, after = [("files", "memory", "handles", "seconds")], []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary) / "calls"
        folder.mkdir()
        sources = originals(Path(temporary), 0.1)
        kinds = [data for name, data in dict(sources).items() if name in ("WAV PCM_16", "FLAC PCM_16", "OGG VORBIS")]
        kinds = kinds * 3 + [dict(sources)["m4a aac"], b"no sound"]
        for number in range(arguments.files):
            (folder / f"{number:06}.wav").write_bytes(kinds[number % len(kinds)])
        listener, summary = Listener(), scan.Summary()
        made = scan.Table(Path(temporary) / "answers.csv", MODEL)
        started = time.monotonic()
        found = scan.find_recordings([str(folder)])
        answers = scan.answer_all(found, lambda path: scan.answer(path, listener, MODEL), MODEL, arguments.jobs)
        for number, answer in enumerate(answers, 1):
            made.add(answer.result)
            summary.add(answer.result)
            if number % (arguments.files // 20) == 0:
                after.append((now_mib(), handles()))
                took = time.monotonic() - started
                rows.append((number, f"{after[-1][0]:.0f} MiB", after[-1][1], f"{took:.0f}"))
                print(*rows[-1], file=sys.stderr, flush=True)
        made.close()
        answered = len((Path(temporary) / "answers.csv").read_text(encoding="utf-8").splitlines()) - 1
    table(rows)
    growth = max(mib for mib, _ in after) / after[0][0]
    print(f"{answered} rows; memory grew by {100 * (growth - 1):.1f} % after the first twentieth\n{summary}")
    return growth <= 1.05 and max(count for _, count in after) <= after[0][1] + 2 and answered == arguments.files


# Killed at any moment


def life(seconds: float | None, work: Callable[[], int], told: str = os.devnull) -> int | None:
    """Let a child of this process work, and kill it after some seconds; return its exit code, None if it was killed."""
    child = os.fork()
    if not child:
        sink = Path(told).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - the process ends first
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            try:
                os._exit(work())
            except BaseException:
                traceback.print_exc()
        os._exit(99)
    started = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if seconds is not None and time.monotonic() - started > seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)


def half_written(folder: Path) -> list[str]:
    """Return the files below a folder that are there under their own name and cannot be read to their end."""
    broken = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and ".tmp" not in path.name):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".keras":
                with zipfile.ZipFile(path) as archive:
                    if archive.testzip():
                        raise ValueError("bad checksum")
            elif path.suffix in (".csv", ".jsonl", ".md", ".html"):
                if path.name not in ("answers.csv", "log.csv") and not path.read_bytes().endswith(b"\n"):
                    raise ValueError("no end of line")
            elif path.suffix == ".flac":
                soundfile.read(path)
            elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                raise ValueError("no end")
        except Exception as error:
            broken.append(f"{path.relative_to(folder)}: {error}")
    return broken


def until_killed_often(kills: int, rng, work: Callable[[Path], int], folder: Path, same: Callable[[Path, Path], float]):
    """Work undisturbed once, then be killed so often; return a row of the table, and what was lost."""
    lost, started = [], time.monotonic()
    if life(None, lambda: work(folder / "undisturbed")) != 0:
        return ("", "", "", ""), ["the undisturbed work failed"]
    longest = time.monotonic() - started
    killed = finished = lives = 0
    differences = []
    while killed < kills or lives:
        lives += 1
        # A work that was killed three times may end, so that beginnings and ends are both met.
        code = life(rng.uniform(0, longest) if killed < kills and lives <= 4 else None, lambda: work(folder / "killed"))
        lost += half_written(folder / "killed")
        if code is None:
            killed += 1
            print(f"killed {killed} times, {finished} works ended", file=sys.stderr, flush=True)
        elif code != 0:
            lost.append(f"ended with {code} after {lives - 1} kills")
            break
        else:
            finished += 1
            lives = 0
            differences.append(same(folder / "undisturbed", folder / "killed"))
            if differences[-1] > 1e-4:
                lost.append(f"another result, by {differences[-1]:g}")
            left = [
                path.name for path in (folder / "killed").rglob("*") if ".tmp" in path.name or path.suffix == ".lock"
            ]
            if left:
                print(f"left over: {left}", file=sys.stderr)
            shutil.rmtree(folder / "killed")
    return (killed, finished, f"{max(differences, default=0):.0e}", f"{longest:.0f} s"), lost


def prepare(data: Path):
    """Make a small corpus; return both scripts, with a small network and with a coin for one."""
    sys.path.append(str(HERE / "tests"))
    import tiny

    import CNNRNNLSTM
    import deepfake_audio.detector
    import script
    from deepfake_audio.audio import write_flac

    CNNRNNLSTM.Settings = tiny.settings
    deepfake_audio.detector.Detector = lambda *_: Listener()
    rng = np.random.default_rng(0)
    for label in ("Real", "Fake"):
        for number in range(20):
            path = data / label.lower() / f"voice{number // 4}" / f"{number}.flac"
            write_flac(path, tiny.voice(label, 1.0 + 0.1 * (number % 4), rng))
    decoding.stop()
    return CNNRNNLSTM, script


def kills(arguments: argparse.Namespace) -> bool:
    """Kill trainings and scans; return whether all of them ended as if nothing had happened."""
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        training, script = prepare(folder / "data")

        def train(outputs: Path) -> int:
            return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(outputs)])

        def same_scores(one: Path, other: Path) -> float:
            files = [next(path.glob("run-*/scores.csv")) for path in (one, other)]
            rows = [{s.path: s.probabilities for s in read_scores(file)} for file in files]
            if rows[0].keys() != rows[1].keys():
                return 1.0
            return max(float(np.abs(np.subtract(rows[0][name], rows[1][name])).max()) for name in rows[0])

        def scan_folder(outputs: Path) -> int:
            out = ["--csv", str(outputs / "answers.csv"), "--report", str(outputs / "report.html"), "--quiet"]
            return script.main([str(folder / "data"), *out, "--model", str(HERE / "outputs/pretrained/model.keras")])

        def same_tables(one: Path, other: Path) -> float:
            texts = [sorted((path / "answers.csv").read_text("utf-8").splitlines()) for path in (one, other)]
            return float(texts[0] != texts[1] or not (other / "report.html").is_file())

        rows, lost = [("work", "SIGKILLs", "ended", "largest difference", "undisturbed")], []
        scans = arguments.kills // 2
        for name, count, work, same in (
            ("scan of a folder into table and report", scans, scan_folder, same_tables),
            ("training, from listing to report", arguments.kills - scans, train, same_scores),
        ):
            row, gone = until_killed_often(count, rng, work, folder / name.split()[0].rstrip(","), same)
            rows.append((name, *row))
            lost += gone
    table(rows)
    print(f"lost: {lost or 'nothing'}")
    return not lost


# Ctrl-C at any moment


def interrupts(arguments: argparse.Namespace) -> bool:
    """Press Ctrl-C; return whether every end was soon, quiet, and said what is kept."""
    import withstand_interrupts

    rows, faults = withstand_interrupts.interrupts(arguments.times, arguments.seed, arguments.only)
    table(rows)
    print("\n".join(["faults:", *faults]) if faults else "faults: none")
    return not faults


# Disks


def disk(arguments: argparse.Namespace) -> bool:
    """Write onto disks that do not take it; return whether every refusal was one sentence and nothing was lost."""
    rows, bad = [("disk", "work", "exit", "sentence", "again, with room")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        training, script = prepare(folder / "data")
        clip = str(next((folder / "data").rglob("*.flac")))
        model = str(HERE / "outputs/pretrained/model.keras")
        disk = folder / "disk"
        disk.mkdir()

        def judge(option: str, target: Path) -> int:
            return script.main([clip, "--model", model, option, str(target)])

        def train(_: str, target: Path) -> int:
            return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(target)])

        works = [(option, judge, option) for option in ("--csv", "--report", "--plot", "--labels")]
        states = {
            "full": ["size=64k"],
            "no inodes": ["size=64m,nr_inodes=1"],
            "read-only": ["size=64m,ro"],
        }
        cases = [(state, options[0], *work) for state, options in states.items() for work in works]
        cases += [(f"full after {size}", f"size={size}", "training", train, "") for size in ("16k", "256k", "1m", "2m")]
        cases += [("read-only", "size=64m,ro", "training", train, "")]
        for state, options, name, work, option in cases:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
            try:
                if state == "full":
                    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
                        while True:
                            file.write(bytes(512))
                told = folder / "told"
                code = life(None, functools.partial(work, option, disk / "x" / "out"), str(told))
                errors = [line for line in told.read_text("utf-8").splitlines() if line.startswith("error: ")]
                if code != 1 or len(errors) != 1 or "Traceback" in told.read_text("utf-8"):
                    bad.append(f"{state}, {name}: {told.read_text('utf-8')[-1500:]}")
                if state == "full":
                    (disk / "filler").unlink(missing_ok=True)
                subprocess.run(["mount", "-o", "remount,rw,size=64m,nr_inodes=10000", disk], check=True)
                broken = half_written(disk)
                bad += broken
                again = life(None, functools.partial(work, option, disk / "x" / "out"), str(told))
                if again != 0:
                    bad.append(f"{state}, {name}, again: {told.read_text('utf-8')[-1500:]}")
                sentence = errors[0].replace(str(disk), "DISK") if errors else ""
                rows.append((state, name, code, sentence, "done" if again == 0 else again))
                print(*rows[-1], file=sys.stderr, flush=True)
            finally:
                subprocess.run(["umount", disk], check=True)
        # A folder that vanishes in the middle of a scan.
        real = scan.Table.add

        def vanish(table: scan.Table, result: dict) -> None:
            shutil.rmtree(disk / "gone", ignore_errors=True)
            real(table, result)

        scan.Table.add = vanish
        told = folder / "told"
        outputs = ["--csv", str(disk / "gone" / "a.csv"), "--report", str(disk / "gone" / "a.html")]
        code = life(None, lambda: script.main([str(folder / "data"), "--model", model, "--quiet", *outputs]), str(told))
        text = told.read_text("utf-8")
        rows.append(
            ("folder vanishes", "scan", code, *[line for line in text.splitlines() if "rror: " in line][:1], "")
        )
        if "Traceback" in text:
            bad.append(text[-1500:])
    table(rows)
    print(f"lost: {bad or 'nothing'}")
    return not bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("audio", help="damaged recordings of every container")
    add.add_argument("--files", type=int, default=10_000)
    add.add_argument("--jobs", type=int, default=2)
    add.add_argument("--seed", type=int, default=0)
    add.add_argument("--keep", type=Path, default=Path(), help="where files that crash or hang a decoder are kept")
    add.set_defaults(run=audio)
    add = commands.add_parser("bombs", help="a megabyte that unpacks to days")
    add.add_argument("--hours", type=float, default=100.0)
    add.add_argument("--kinds", nargs="+", choices=("bomb.flac", "bomb.opus", "bomb.m4a"))
    add.set_defaults(run=bombs)
    add = commands.add_parser("microphone", help="listening for a day")
    add.add_argument("--hours", type=float, default=24.0)
    add.add_argument("--folder", type=Path, help="where the recording goes: a gigabyte for a day")
    add.set_defaults(run=microphone)
    add = commands.add_parser("scan", help="memory and handles over a large folder")
    add.add_argument("--files", type=int, default=20_000)
    add.add_argument("--jobs", type=int, default=2)
    add.add_argument("--folder", type=Path, help="where the folder is made: a gigabyte")
    add.set_defaults(run=large_folder)
    add = commands.add_parser("kills", help="SIGKILL at random moments of training and scanning (not on Windows)")
    add.add_argument("--kills", type=int, default=50)
    add.add_argument("--seed", type=int, default=0)
    add.set_defaults(run=kills)
    add = commands.add_parser("interrupts", help="Ctrl-C at moments spread over every work's life (not on Windows)")
    add.add_argument("--times", type=int, default=20)
    add.add_argument("--only", default="", metavar="WORD", help="works with this in their name")
    add.add_argument("--seed", type=int, default=0)
    add.set_defaults(run=interrupts)
    add = commands.add_parser("disk", help="full, read-only and vanished disks (Linux, as root)")
    add.set_defaults(run=disk)
    commands.add_parser("all", help="all of them, one after the other")
    arguments = parser.parse_args()
    every = list(commands.choices)[:-1] if arguments.command == "all" else []
    works = [parser.parse_args([name]) for name in every] or [arguments]
    return 0 if all([work.run(work) for work in works]) else 1  # all are run, whatever comes of the first


if __name__ == "__main__":
    sys.exit(main())
