"""Ctrl-C at random moments over the whole life of both scripts: how soon they end, and what they say.

    python tests/benchmarks/withstand_interrupts.py training --data DIR --outputs DIR   what is interrupted: a small one
    python tests/benchmarks/withstand_interrupts.py microphone --outputs DIR            script.py and a pretended device

`withstand.py interrupts` starts these and script.py itself as a terminal does, presses Ctrl-C as a terminal does, for
all processes at once, and measures.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from deepfake_audio import early  # noqa: E402 - after the path to it

if __name__ == "__main__":
    early.end_quietly()

import contextlib  # noqa: E402
import dataclasses  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402
from collections import Counter  # noqa: E402

import numpy as np  # noqa: E402

MODEL = HERE / "outputs" / "pretrained" / "model.keras"


# What is interrupted


def train(arguments: list[str]) -> int:
    """Run CNNRNNLSTM.py with a small network."""
    import tiny

    import CNNRNNLSTM

    CNNRNNLSTM.Settings = tiny.settings
    return CNNRNNLSTM.main(arguments)


def listen(arguments: list[str]) -> int:
    """Run script.py with a microphone that hears noise, from half a second after it was opened."""
    rate, block = 48_000, 2_400
    noise = 0.1 * np.random.default_rng(0).normal(size=(rate, 1)).astype(np.float32).clip(-3, 3)

    class Stream:
        def __init__(self, callback, **_):
            self.callback, self.closed = callback, threading.Event()

        def start(self) -> None:
            threading.Thread(target=self.send, daemon=True).start()

        def send(self) -> None:
            wait, at = 0.5, 0
            while not self.closed.wait(wait):
                wait, at = block / rate, (at + block) % rate
                self.callback(noise[at : at + block], block, None, types.SimpleNamespace(input_overflow=False))

        def close(self) -> None:
            self.closed.set()

    about = {"name": "pretended", "max_input_channels": 1, "default_samplerate": float(rate)}
    sys.modules["sounddevice"] = types.SimpleNamespace(
        PortAudioError=OSError,
        InputStream=Stream,
        query_devices=lambda *_: about,
        default=types.SimpleNamespace(device=(0, 0)),
    )
    import script

    return script.main(arguments)


# Who interrupts

ON_ITS_WAY = b"The recording is kept"
"""What is said soon by who then goes on working: the microphone is off, and its recording is judged."""


@dataclasses.dataclass
class End:
    """How a process ended, after Ctrl-C unless that came too late."""

    in_time: bool
    code: int
    seconds: float
    before: str
    after: str

    @property
    def python_was_starting(self) -> bool:
        """Whether Ctrl-C came before the first line of ours: Python then has a traceback of its own, or nothing."""
        return self.code < 0 and str(HERE) not in self.after

    def faults(self, codes: tuple[int, ...]) -> list[str]:
        """Return what a user would complain about."""
        if self.python_was_starting:
            return []
        lines = [line for line in self.after.splitlines() if line.strip()]
        found = []
        if self.code not in codes:
            found.append(f"exit code {self.code}")
        if "Traceback" in self.after or "Error" in self.after:
            found.append("noise")
        if self.code == 130 and sum(line.startswith("Interrupted") for line in lines) != 1:
            found.append("not one sentence")
        if self.seconds > 2.0:
            found.append(f"{self.seconds:.1f} s")
        return [f"{fault}: {self.before[-200:]!r} | {self.after[-1500:]}" for fault in found]


def interrupted(command: list[str], seconds: float | None) -> End:
    """Start a command, press Ctrl-C after some seconds, and wait for its end."""
    # A process of its own group: Ctrl-C is for all who are in it. Who was started in the background would ignore it.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    heard, moments = [], []

    def hear() -> None:
        while data := os.read(process.stdout.fileno(), 2**16):
            heard.append(data)
            moments.append(time.monotonic())

    hearing = threading.Thread(target=hear)
    hearing.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    count, started, pressed = len(heard), time.monotonic(), process.poll() is None
    if pressed:
        os.killpg(process.pid, signal.SIGINT)
    code = process.wait()
    took = time.monotonic() - started
    hearing.join()
    process.stdout.close()
    before, after = (b"".join(part).decode(errors="replace") for part in (heard[:count], heard[count:]))
    for moment, data in zip(moments[count:], heard[count:], strict=True):
        if ON_ITS_WAY in data:
            took = moment - started
    return End(pressed, code, took, before, after)


def interrupts(times: int, seed: int, only: str = "") -> tuple[list[tuple], list[str]]:
    """Interrupt each work with `only` in its name so often; return a table, and what a user would complain about."""
    rng = np.random.default_rng(seed)
    rows = [("work", "Ctrl-C", "slowest", "median", "exit codes", "Python was starting", "faults")]
    lost = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_recordings(folder)
        for name, command, codes in works(folder):
            if only not in name:
                continue
            made = iter(range(10**6))

            def run(seconds: float | None, command=command, made=made) -> End:
                out = str(folder / f"out{next(made)}")
                return interrupted([sys.executable, *(part.replace("OUT", out) for part in command)], seconds)

            started = time.monotonic()
            ended = run(LISTENING_SECONDS if name == "microphone" else None)
            longest = time.monotonic() - started
            if ended.code:
                lost.append(f"{name}, undisturbed, ended with {ended.code}: {ended.before[-2000:]}")
                continue
            ends = []
            for number in range(times):
                # One moment out of each stretch, so that the whole life is met.
                ends.append(run(longest * (number + rng.random()) / times))
                print(f"{name}: {ends[-1].code} in {ends[-1].seconds:.2f} s", file=sys.stderr, flush=True)
            faults = [fault for end in ends for fault in end.faults(codes)]
            lost += [f"{name}: {fault}" for fault in faults]
            ends = [end for end in ends if end.in_time]
            took = [end.seconds for end in ends] or [0.0]
            told = Counter(end.code for end in ends if not end.python_was_starting)
            told = ", ".join(f"{count} times {code}" for code, count in sorted(told.items()))
            starting = sum(end.python_was_starting for end in ends)
            rows.append(
                (name, len(ends), f"{max(took):.2f} s", f"{np.median(took):.2f} s", told, starting, len(faults))
            )
    return rows, lost


LISTENING_SECONDS = 8.0


def works(folder: Path):
    """Yield name, command and the exit codes that are right: 0 where Ctrl-C came too late, or is the ordinary end."""
    judge, model = str(HERE / "script.py"), ["--model", str(MODEL)]
    data = str(folder / "data")
    own = str(Path(__file__).resolve())
    training = [own, "training", "--data", data, "--outputs", "OUT", "--epochs", "3"]
    outputs = ["--csv", "OUT/answers.csv", "--report", "OUT/report.html"]
    yield "training, from import to report", training, (130, 0)
    yield "scan of a folder into table and report", [judge, data, *outputs, *model], (130, 0)
    yield "one recording of two hours", [judge, str(folder / "long.flac"), *model], (130, 0)
    yield "microphone", [own, "microphone", "--outputs", "OUT", *model], (130, 0)


def write_recordings(folder: Path) -> None:
    """Make a small corpus and a long recording."""
    import tiny

    from deepfake_audio.audio import write_flac

    rng = np.random.default_rng(0)
    for label in ("Real", "Fake"):
        for number in range(20):
            path = folder / "data" / label.lower() / f"voice{number // 4}" / f"{number}.flac"
            write_flac(path, tiny.voice(label, 1.0 + 0.1 * (number % 4), rng))
    write_flac(folder / "long.flac", np.tile(tiny.voice("Hybrid", 60.0, rng), 120))


if __name__ == "__main__":
    sys.exit({"training": train, "microphone": listen}[sys.argv[1]](sys.argv[2:]))
