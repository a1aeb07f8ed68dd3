"""How fast is it, against the straightforward program (reference.py)? Prints the tables of RESULTS.md.

    python tests/benchmarks/speed.py [--only cold archive hour live training sizes growth] [--quick]

On an idle machine all of it takes about a quarter of an hour; ``--quick`` only shows that everything works. Each
figure is the median of five runs, with the fastest and the slowest in brackets; both programs run in turn, so that
their ratio means something on a machine that is not quite idle, either.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HERE), str(Path(__file__).resolve().parent)]

from long_files import write_long  # noqa: E402

from deepfake_audio.judging import many  # noqa: E402
from deepfake_audio.judging.detector import Detector  # noqa: E402
from deepfake_audio.model.checkpoint import read_checkpoint  # noqa: E402
from deepfake_audio.settings import SAMPLE_RATE, NetworkSettings, Settings  # noqa: E402
from deepfake_audio.sound.reading import read_audio  # noqa: E402

MODEL = HERE / "outputs" / "pretrained" / "model.keras"
STARTER = HERE / "data" / "starter"
REFERENCE = Path(__file__).with_name("reference.py")
JUDGE = (HERE / "script.py", "--model", MODEL, "--jobs", 2, "--quiet")
RUNS = 5

# How the files of the archive are stored: all of them can be read by libsndfile, as the reference needs it.
FORMATS = [("wav", 16_000, 1), ("wav", 44_100, 2), ("flac", 16_000, 1), ("mp3", 44_100, 1), ("ogg", 48_000, 1)]


class Done(NamedTuple):
    """One run of a program: wall time, CPU time, peak memory (0 where the system does not tell) and output."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    lines: list[str]


def run(*command) -> Done:
    """Run a Python program to its end."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=output, stderr=subprocess.DEVNULL, cwd=HERE
        )
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu = usage.ru_utime + usage.ru_stime
            peak = usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
        else:
            process.wait()
            cpu, peak = float("nan"), 0.0
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{command} failed with exit code {process.returncode}")
        output.seek(0)
        return Done(seconds, cpu, peak, output.read().splitlines())


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write median, fastest and slowest."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def row(*cells) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*cells) -> None:
    """Print the head of a Markdown table."""
    print()
    row(*cells)
    print("|---" * len(cells) + "|", flush=True)


def speech(seconds: float) -> np.ndarray:
    """Return starter clips in a row."""
    found, count = [], 0
    for path in itertools.cycle(sorted(STARTER.rglob("*.flac"))):
        found.append(read_audio(path))
        count += len(found[-1])
        if count >= seconds * SAMPLE_RATE:
            return np.concatenate(found)[: round(seconds * SAMPLE_RATE)]


def write_archive(folder: Path, files: int, seconds: float, formats=tuple(FORMATS)) -> list[Path]:
    """Write pieces of speech of one length, stored in every format by turns."""
    import soxr

    pieces = speech(seconds * 100).reshape(100, -1)
    paths = []
    for number in range(files):
        suffix, rate, channels = formats[number % len(formats)]
        samples = pieces[number % len(pieces)]
        if rate != SAMPLE_RATE:
            samples = soxr.resample(samples, SAMPLE_RATE, rate)
        path = folder / f"{number // 1000:02}" / f"{number:05}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([samples] * channels, axis=1), rate)
        paths.append(path)
    return paths


def reference_times(paths: Sequence[Path]) -> tuple[list[str], list[float]]:
    """Return verdicts and seconds of the reference, which has started and seen a clip before."""
    rows = [line.split("\t") for line in run(REFERENCE, MODEL, paths[0], *paths).lines[1:]]
    return [verdict for verdict, _ in rows], [float(seconds) for _, seconds in rows]


# The parts


def cold(folder: Path, quick: bool) -> None:
    """From the command to the verdict on a 10 s WAV file."""
    clip = folder / "clip.wav"
    soundfile.write(clip, speech(10.0), SAMPLE_RATE)
    ours, reference = [], []
    command = (HERE / "script.py", clip, "--model", MODEL)
    for _ in range(2 if quick else RUNS):
        reference.append(run(REFERENCE, MODEL, clip))
        ours.append(run(*command))
    head("cold start, 10 s WAV", "wall s", "CPU s", "peak MiB", "times as fast")
    for name, done in (("reference", reference), ("script.py", ours)):
        times = [one.seconds for one in done]
        ratio = median(one.seconds for one in reference) / median(times)
        cpu = spread([one.cpu_seconds for one in done])
        row(name, spread(times), cpu, f"{max(one.peak_mib for one in done):.0f}", f"{ratio:.1f}")
    profile = subprocess.run(
        [sys.executable, "-X", "importtime", *map(str, command)], capture_output=True, text=True, cwd=HERE
    ).stderr
    found = re.findall(r"import time: +(\d+) \| +(\d+) \|( +)([\w.]+)$", profile, flags=re.MULTILINE)
    own: dict[str, float] = {}
    for microseconds, _, _, module in found:
        name = module.partition(".")[0]
        name = name if name in ("numpy", "onnxruntime", "deepfake_audio", "soundfile", "soxr") else "standard library"
        own[name] = own.get(name, 0.0) + int(microseconds) / 1e6
    head("imports of script.py", "ms")
    for name, seconds in sorted(own.items(), key=lambda item: -item[1]):
        row(name, f"{seconds * 1e3:.0f}")
    row("all imports", f"{sum(own.values()) * 1e3:.0f}")


def archive(folder: Path, quick: bool) -> None:
    """Files per second through a folder of mixed formats."""
    files = write_archive(folder / "archive", 60 if quick else 500, 5.0)
    group = 5 if quick else 30
    verdicts, times = reference_times(files[: RUNS * group])
    slow = [group / sum(times[start : start + group]) for start in range(0, len(times), group)]
    ours = []
    for number in range(2 if quick else RUNS):
        table = folder / f"answers-{number}.csv"
        ours.append(
            run(HERE / "script.py", folder / "archive", "--jobs", 2, "--quiet", "--csv", table, "--model", MODEL)
        )
    with table.open(encoding="utf-8", newline="") as file:
        answers = {Path(line["path"]).name: line["verdict"] for line in csv.DictReader(file)}
    same = sum(answers[path.name] == verdict for path, verdict in zip(files, verdicts, strict=False))
    few = folder / "few"
    write_archive(few, 50, 5.0)
    small = run(*JUDGE, few)
    fast = [len(files) / done.seconds for done in ours]
    busy = [done.cpu_seconds / done.seconds for done in ours]
    head(f"{len(files)} files of 5 s, {len(FORMATS)} formats", "files/s", "cores busy", "peak MiB", "times as fast")
    row("reference, without its start", spread(slow, 1), "-", "-", "1.0")
    row("script.py --jobs 2", spread(fast, 1), spread(busy), f"{max(done.peak_mib for done in ours):.0f}",
        f"{median(fast) / median(slow):.1f}")  # fmt: skip
    row("the same, 50 files", "-", "-", f"{small.peak_mib:.0f}", "-")
    print(f"\nSame verdict as the reference: {same} of {len(verdicts)}.")


def hour(folder: Path, quick: bool) -> None:
    """One hour of speech."""
    minutes, short = (6.0, folder / "short.flac") if quick else (60.0, folder / "short.flac")
    long = folder / "hour.flac"
    write_long(long, minutes)
    write_long(short, 0.5)
    _, times = reference_times([short] * (2 if quick else RUNS))
    slow = [seconds * 2 * minutes for seconds in times]
    ours = [run(*JUDGE, long) for _ in range(2 if quick else RUNS)]
    fast = [done.seconds for done in ours]
    head(f"{minutes:.0f} minutes of speech, FLAC", "wall s", "CPU s", "peak MiB", "times as fast")
    row("reference, from half a minute", spread(slow, 0), "-", "-", "1.0")
    row("script.py", spread(fast), spread([done.cpu_seconds for done in ours]),
        f"{max(done.peak_mib for done in ours):.0f}", f"{median(slow) / median(fast):.1f}")  # fmt: skip


class Played:
    """A microphone that plays what it is given as fast as it is taken."""

    lost_seconds = 0.0

    def __init__(self, samples: np.ndarray):
        self.samples = samples

    def waiting_seconds(self) -> float:
        """Return 0: nothing waits."""
        return 0.0

    def pieces(self):
        """Yield pieces as long as those of a device."""
        yield from np.array_split(self.samples, len(self.samples) // 800)


def live(folder: Path, quick: bool) -> None:
    """Share of a core that listening costs."""
    from deepfake_audio.answers.live import ROLLING_SECONDS, listen, warm_up

    seconds = 20 if quick else 60
    detector, samples = Detector(MODEL), speech(seconds)
    warm_up(detector)
    shares = []
    for _ in range(2 if quick else RUNS):
        started = time.process_time()
        listen(detector, Played(samples), folder / "live.flac", lambda moment: None, seconds)
        shares.append(100 * (time.process_time() - started) / seconds)
    head("live", "% of one core")
    row(
        f"{seconds} s of speech, a verdict on the last {ROLLING_SECONDS:.0f} s every second",
        spread(shares, 1),
    )


def training(folder: Path, quick: bool) -> None:
    """Windows per second over an epoch: reference, plus cache, plus the rest."""
    from reference import log_mel

    from deepfake_audio.corpus.recognise import find_clips
    from deepfake_audio.examples.example import Example
    from deepfake_audio.examples.features import extract_features
    from deepfake_audio.model.backend import keras
    from deepfake_audio.model.network import build_network
    from deepfake_audio.training.batches import TrainingWindows
    from deepfake_audio.training.fit import compile_network

    settings = read_checkpoint(MODEL).settings
    clips = find_clips([STARTER])
    examples = [Example(c.name, c.path, c.label, c.label.lower(), c.source) for c in clips if c.label != "Hybrid"]
    started = time.perf_counter()
    store = extract_features(examples, folder / "features", settings.features, 2)
    caching = time.perf_counter() - started

    paths = {example.name: example.path for example in examples}

    class OnTheFly:
        """A store that keeps nothing."""

        extents, frames = store.extents, store.frames

        def read(self, name: str, start: int, frames: int) -> np.ndarray:
            return log_mel(paths[name], settings.features)[1][start : start + frames]

    batches = 2 if quick else 6
    events: list[tuple[str, float, float]] = []

    def epochs(source, unroll: bool) -> list[float]:
        """Return windows per second of some epochs, after one that nobody counts."""
        windows = TrainingWindows(examples, source, settings)
        windows.batches = batches
        prepare = type(windows).__getitem__

        class Watched(type(windows)):
            def __getitem__(self, index: int):
                begun = time.perf_counter()
                batch = prepare(self, index)
                events.append(("features", begun, time.perf_counter()))
                return batch

        windows.__class__ = Watched
        network = build_network(settings.network, settings.window, settings.features, unroll)
        compile_network(network, settings, [1.0, 1.0, 1.0], 1000)
        step, rates = Steps(), []
        for number in range(1 + (2 if quick else RUNS)):
            events.clear()
            begun = time.perf_counter()
            network.fit(windows, epochs=1, verbose=0, shuffle=False, callbacks=[step])
            if number:
                rates.append(batches * settings.training.batch_size / (time.perf_counter() - begun))
        return rates

    class Steps(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            events.append(("network", self.begun, time.perf_counter()))

    base = epochs(OnTheFly(), unroll=False)
    cached = epochs(store, unroll=False)
    best = epochs(store, unroll=True)
    head("training, an epoch", "windows/s", "times as fast")
    names = ("reference: decoded and transformed on the fly", "features from the cache", "and the recurrence unrolled")
    for name, rates in zip(names, (base, cached, best), strict=True):
        row(name, spread(rates, 1), f"{median(rates) / median(base):.1f}")
    print(f"\nThe cache itself: {len(examples)} clips in {caching:.1f} s, once. Timeline of the last epoch,")
    first, last = min(event[1] for event in events), max(event[2] for event in events)
    print(f"{(last - first) * 1e3:.0f} ms from left to right:\n\n```text")
    for kind in ("features", "network"):
        line, busy = [" "] * 72, 0.0
        for _, begun, ended in (event for event in events if event[0] == kind):
            busy += ended - begun
            for at in range(int(71 * (begun - first) / (last - first)), 1 + int(71 * (ended - first) / (last - first))):
                line[at] = "#"
        print(f"{kind:9}{''.join(line)} {100 * busy / (last - first):.0f} %")
    print("```", flush=True)


SIZES = {
    "half": {"convolution_filters": (8, 12, 16, 24), "texture_filters": 8, "rnn_units": 32, "lstm_units": 32},
    "bundled": {},
    "not strided": {"strided": False},
    "double": {"convolution_filters": (32, 48, 64, 96), "rnn_units": 128, "lstm_units": 128},
}
"""Changes to the bundled network."""


def multiply_adds(network) -> int:
    """Count the multiply-adds of one window in convolutions, dense and recurrent layers."""
    total = 0
    for layer in network.layers:
        weights = sum(int(np.prod(values.shape)) for values in layer.get_weights() if values.ndim > 1)
        # Every weight is used once per position; channels are last.
        if type(layer).__name__ in ("Conv2D", "Dense", "Bidirectional"):
            total += weights * int(np.prod(layer.output.shape[1:-1]))
    return total


def sizes(folder: Path, quick: bool) -> None:
    """What networks of several sizes cost."""
    import dataclasses

    from deepfake_audio.features.windows import window_step
    from deepfake_audio.model.checkpoint import save_checkpoint
    from deepfake_audio.model.engines import OnnxEngine
    from deepfake_audio.model.export import export_checkpoint
    from deepfake_audio.model.network import BOUNDARIES, TIMELINE, VERDICT, build_network
    from deepfake_audio.training.fit import compile_network

    bundled: Settings = read_checkpoint(MODEL).settings
    window, features, batch = bundled.window, bundled.features, bundled.training.batch_size
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(batch, window.frames, features.mel_bands)).astype(np.float32)
    frames = rng.integers(0, 2, (batch, window.label_frames, 1)).astype(np.float32)
    targets = {VERDICT: np.eye(3, dtype=np.float32)[rng.integers(0, 3, batch)], TIMELINE: frames, BOUNDARIES: frames}
    head("network", "parameters", "million multiply-adds per second of audio", "trained, windows/s",
         "judged, windows/s and core", "macro F1")  # fmt: skip
    for name, changes in SIZES.items():
        layout: NetworkSettings = dataclasses.replace(bundled.network, **changes)
        settings = dataclasses.replace(bundled, network=layout)
        network = build_network(layout, window, features)
        file, path = folder / "network.keras", folder / name / "model.keras"
        path.parent.mkdir()
        network.save(file)
        checkpoint = save_checkpoint(path, file, settings, "", "", [])
        export_checkpoint(checkpoint)
        engine = OnnxEngine(checkpoint)
        trained = build_network(layout, window, features, unroll=True)
        compile_network(trained, settings, [1.0, 1.0, 1.0], 1000)
        learning, judging = [], []
        for _ in range(1 + (2 if quick else RUNS)):
            begun = time.perf_counter()
            for _ in range(1 if quick else 3):
                trained.train_on_batch(inputs, targets)
            learning.append((1 if quick else 3) * batch / (time.perf_counter() - begun))
            begun = time.perf_counter()
            for start in range(0, batch, 16):
                engine.predict(inputs[start : start + 16])
            judging.append(batch / (time.perf_counter() - begun))
        per_second = multiply_adds(network) / (window_step(window) * features.hop_seconds)
        row(name, f"{network.count_params():,}", f"{per_second / 1e6:.1f}", spread(learning[1:], 0),
            spread(judging[1:], 0), "-")  # fmt: skip


def growth(folder: Path, quick: bool) -> None:
    """Time against work, in one process that has started."""
    detector, model = Detector(MODEL), {}

    def judge(path: Path) -> many.Answer:
        return many.answer(path, detector, model)

    def through(paths: Sequence[Path]) -> None:
        for answer in many.answer_all([(path, None) for path in paths], judge, model, 2):
            assert not answer.result["error"], answer.result["error"]

    counts = (10, 100) if quick else (100, 1_000, 10_000)
    files = write_archive(folder / "many", counts[-1], 1.0, [("flac", SAMPLE_RATE, 1)])
    through(files[:20])
    head("growth", "work", "wall s", "CPU s, without decoding")
    _grow("files of 1 s", counts, [(lambda count=count: through(files[:count])) for count in counts], quick)
    lengths = (10, 60) if quick else (10, 60, 600, 3_600, 36_000)
    recordings = []
    for seconds in lengths:
        recordings.append(folder / f"{seconds}.flac")
        write_long(recordings[-1], seconds / 60)
    _grow("seconds in one file", lengths, [(lambda path=path: judge(path)) for path in recordings], quick)


def _grow(name: str, work: Sequence[int], tasks, quick: bool) -> None:
    walls, cpus = [], []
    for task in tasks:
        measured = []
        for _ in range(2 if quick else RUNS):
            begun = time.perf_counter(), time.process_time()
            task()
            measured.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        wall, cpu = zip(*measured, strict=True)
        walls.append(wall)
        cpus.append(cpu)
    slopes = [np.polyfit(np.log(work), np.log([median(m) for m in measured]), 1)[0] for measured in (walls, cpus)]
    for amount, wall, cpu in zip(work, walls, cpus, strict=True):
        row(name, f"{amount:,}", spread(wall, 3), spread(cpu, 3))
    row(name, "slope on log axes", f"{slopes[0]:.3f}", f"{slopes[1]:.3f}")


PARTS = {part.__name__: part for part in (cold, archive, hour, live, training, sizes, growth)}


def machine() -> str:
    """Say what this was measured on."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))[1]
    return f"{os.cpu_count()} cores, {name}, {platform.system()}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--quick", action="store_true", help="only see whether it works: two runs of little work")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[arguments.part](Path(folder), arguments.quick)
        return 0
    started = time.monotonic()
    print(f"Measured on {machine()}; median of {RUNS} runs (fastest-slowest).", flush=True)
    for part in arguments.only:
        # Each one begins with a fresh process: nothing that another one loaded is in the way.
        command = [sys.executable, __file__, "--part", part, *(["--quick"] if arguments.quick else [])]
        subprocess.run(command, check=True, cwd=HERE)
    print(f"\nAll of this took {(time.monotonic() - started) / 60:.0f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
