"""What the works in this folder share: judging without a network, a small corpus, lives that end early, measures."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from deepfake_audio.features.log_mel import mel_filters  # noqa: E402
from deepfake_audio.judging.detector import Detector  # noqa: E402
from deepfake_audio.model.checkpoint import Checkpoint  # noqa: E402
from deepfake_audio.settings import CLASS_NAMES, OPERATING_POINT, Settings  # noqa: E402
from deepfake_audio.sound import decoders  # noqa: E402 - after the path to it
from deepfake_audio.sound.reading import read_audio  # noqa: E402

MODEL = {"name": "none/model.keras", "trained": "never", "version": "0"}
BUNDLED = HERE / "outputs" / "pretrained" / "model.keras"


# Judging without a network


class Coin:
    """An engine that knows nothing."""

    def __init__(self, settings: Settings):
        self.window, self.mel_filters = settings.window, mel_filters(settings.features)

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """Answer like a network, shape for shape."""
        frames = np.full((len(windows), self.window.label_frames, 1), 0.5)
        return {
            "verdict": np.full((len(windows), len(CLASS_NAMES)), 1 / 3),
            "timeline": frames,
            "boundaries": 0 * frames,
        }


class Listener(Detector):
    """A detector that reads, transforms and decides like any other, with a coin for a network."""

    def __init__(self):
        self.settings, self.threshold, self.pool, self.operating_point = Settings(), None, None, OPERATING_POINT
        self.checkpoint = Checkpoint(Path("none"), self.settings, "never", "0", 0, "", {})
        self.engine = Coin(self.settings)


# Measures


def peak_mib() -> float:
    """Return the peak memory of this process."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def now_mib() -> float:
    """Return the memory of this process now, where Linux tells it, or else its peak."""
    status = Path("/proc/self/status")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text("ascii"))[1]) / 1024 if status.is_file() else peak_mib()


def decoder_mib() -> float:
    """Return the largest peak memory of the decoders that wait for work, where Linux tells it."""
    texts = [Path(f"/proc/{decoder.pid}/status") for decoder in decoders._idle]
    peaks = [re.search(r"VmHWM:\s+(\d+)", path.read_text("ascii")) for path in texts if path.is_file()]
    return max((int(peak[1]) / 1024 for peak in peaks), default=0.0)


def handles() -> int:
    """Return the number of open files and pipes, where Linux tells it."""
    return len(list(Path("/proc/self/fd").glob("*"))) if Path("/proc/self/fd").is_dir() else 0


def table(rows: list[tuple]) -> None:
    """Print rows, the first of which is the head."""
    print("|" + "|".join(f" {cell} " for cell in rows[0]) + "|\n|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("|" + "|".join(f" {cell} " for cell in row) + "|", flush=True)


def progress(*words) -> None:
    """Say how far a work is."""
    print(*words, sep=" | ", file=sys.stderr, flush=True)


# Lives


def write_corpus(folder: Path) -> None:
    """Make 40 clips of ten voices, of which a small network learns something, under names that are not ASCII."""
    import tiny

    from deepfake_audio.sound.reading import write_flac

    rng = np.random.default_rng(0)
    for label in ("Real", "Fake"):
        for number in range(20):
            path = folder / label.lower() / f"voice \u00e9\u5f55{number // 4}" / f"{number} \u0142\u00fc.flac"
            write_flac(path, tiny.voice(label, 1.0 + 0.1 * (number % 4), rng))


def prepare(data: Path):
    """Make a small corpus; return both scripts, with a small network to train and with a coin to judge with."""
    import tiny

    import CNNRNNLSTM
    import deepfake_audio.judging.detector
    import script
    from deepfake_audio import options

    options.Settings = tiny.settings
    deepfake_audio.judging.detector.Detector = lambda *_: Listener()
    write_corpus(data)
    decoders.stop()
    return CNNRNNLSTM, script


class Life:
    """A child of this process at work, in a session of its own, which says which stage it has reached.

    Parameters
    ----------
    work : callable
        What it does; it returns the exit code.
    told : str
        File for all that it prints.
    """

    _stage = mmap.mmap(-1, 1)  # shared with the children

    def __init__(self, work: Callable[[], int], told: str = os.devnull):
        self._stage[0], self.pid = 0, os.fork()
        if self.pid:
            return
        os.setsid()
        sink = Path(told).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - the process ends first
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            try:
                os._exit(work())
            except BaseException:
                traceback.print_exc()
        os._exit(99)

    @classmethod
    def enter(cls, stage: int) -> None:
        """Say, in the child, that a stage begins."""
        cls._stage[0] = stage

    @property
    def stage(self) -> int:
        """The stage that was reached, from 0."""
        return self._stage[0]

    def ended(self) -> int | None:
        """Return the exit code; None if it is still at work."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def end(self) -> int:
        """Wait for its end and return the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it like a power cut, but not what it has started: that has to notice."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def orphans(self, patience_seconds: float = 10.0) -> list[str]:
        """Return the commands that it started and that outlive it for longer than this."""
        until = time.monotonic() + patience_seconds
        while (left := self._session()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def _session(self) -> list[str]:
        left = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                # The name, in brackets, may hold anything; behind it: state, parent, group, session.
                state, _, _, session = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state != "Z":
                    left.append((folder / "cmdline").read_text(errors="replace").replace("\0", " "))
        return left


def life(work: Callable[[], int], told: str = os.devnull) -> int:
    """Let a child of this process work to its end; return its exit code."""
    return Life(work, told).end()


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
                # Two of them grow line by line.
                if path.name not in ("answers.csv", "log.csv") and not path.read_bytes().endswith(b"\n"):
                    raise ValueError("no end of line")
            elif path.suffix == ".flac":
                read_audio(path)
            elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                raise ValueError("no end")
        except Exception as error:
            broken.append(f"{path.relative_to(folder)}: {error}")
    return broken
