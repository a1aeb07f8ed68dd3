"""Other systems, other versions of Keras, another Python: what requirements.txt promises.

    python tests/stress versions                               wheels for all systems, and Keras' oldest and newest
    python tests/stress versions --python python3.13           also the test suite with that Python

Everything is installed into virtual environments of its own, from the package index.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import HERE, progress, table

MINUTES = 120

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SYSTEMS = {
    "Linux x86-64": (
        "x86_64-manylinux_2_28",
        ["manylinux2014_x86_64", *(f"manylinux_2_{n}_x86_64" for n in range(29))],
    ),
    "Windows x86-64": ("x86_64-pc-windows-msvc", ["win_amd64"]),
    "macOS arm64": ("aarch64-apple-darwin", ["macosx_14_0_arm64"]),
}
"""What uv and what pip call them."""

OPEN_AND_JUDGE = """
import pathlib, sys

here, folder, own, other = sys.argv[1:]
sys.path[:0] = [here, here + "/tests"]

import keras, numpy as np, tiny
from deepfake_audio.model.checkpoint import read_checkpoint

folder, some = pathlib.Path(folder), tiny.settings()
windows = np.random.default_rng(0).normal(size=(8, some.window.frames, some.features.mel_bands)).astype(np.float32)

def answers(path):
    return np.concatenate([np.ravel(part) for part in read_checkpoint(path).network()(windows).values()])

if own:
    np.save(folder / f"{own}.npy", answers(tiny.save_untrained(folder / own / "model.keras", some).path))
if other:
    distance = np.abs(answers(folder / other / "model.keras") - np.load(folder / f"{other}.npy")).max()
    print(keras.__version__, float(distance))
"""
"""Writes a checkpoint, and opens another one: what it answers, and how far that is from what its writer answered."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", help="interpreter with which the test suite runs, too")


def run(arguments: argparse.Namespace) -> bool:
    """Return whether all of it holds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        good = [wheels(folder), keras(folder)]
        if arguments.python:
            good.append(suite(folder, arguments.python))
    return all(good)


def wheels(folder: Path) -> bool:
    """Resolve requirements.txt for every system and Python, and ask pip for the wheels of the newest and oldest."""
    rows, good = [("Python", *SYSTEMS)], True
    for version in PYTHONS:
        cells = []
        for system, tags in SYSTEMS.values():
            pins = folder / f"{version}-{system}.txt"
            done = resolve(pins, system, version)
            if not done.returncode and version in (PYTHONS[0], PYTHONS[-1]):
                done = find(pins, tags, version)
            good &= not done.returncode
            cells.append(named(pins) if not done.returncode else done.stderr.strip().splitlines()[-1])
        rows.append((version, *cells))
        progress(*rows[-1])
    table(rows)
    return good


def resolve(pins: Path, system: str, version: str) -> subprocess.CompletedProcess:
    """Have uv choose versions that have wheels."""
    target = ["--python-platform", system, "--python-version", version, "--only-binary", ":all:"]
    return module("uv", "pip", "compile", "--quiet", *target, HERE / "requirements.txt", "--output-file", pins)


def find(pins: Path, tags: list[str], version: str) -> subprocess.CompletedProcess:
    """Have pip find them; what a system and a Python need uv has decided: pip asks the Python that runs it."""
    target = [f"--platform={tag}" for tag in tags] + [f"--python-version={version}", "--only-binary=:all:"]
    nowhere = ["--dry-run", "--target", pins.with_suffix(".nothing")]
    return module(
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--ignore-requires-python",
        *target,
        *nowhere,
        "--requirement",
        unmarked(pins),
    )


def unmarked(pins: Path) -> Path:
    """Write the pins without what they say of systems and Pythons, which uv has followed."""
    path = pins.with_suffix(".plain")
    lines = (line.split(";")[0].split("#")[0].strip() for line in pins.read_text("utf-8").splitlines())
    path.write_text("\n".join(line for line in lines if line), encoding="utf-8")
    return path


def named(pins: Path) -> str:
    """Return the versions that matter most."""
    found = dict(re.findall(r"^([\w-]+)==([\w.]+)", pins.read_text("utf-8"), re.MULTILINE))
    return ", ".join(f"{name} {found[name]}" for name in ("tensorflow", "keras", "numpy", "onnxruntime"))


def keras(folder: Path) -> bool:
    """Have the oldest and the newest Keras that are allowed open each other's checkpoints."""
    line = next(line for line in (HERE / "requirements.txt").read_text("utf-8").splitlines() if "keras>=" in line)
    oldest, below = re.search(r">=([\d.]+),<([\d.]+)", line).groups()
    pins = {"oldest": f"keras=={oldest}.0", "newest": f"keras<{below}"}
    pythons = {}
    for name, pin in pins.items():
        pythons[name] = folder / name / "bin" / "python"
        call(sys.executable, "-m", "venv", folder / name, check=True)
        call(pythons[name], "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt", pin, check=True)
    rows, good = [("checkpoint of Keras", "opened by", "largest difference")], True
    call(pythons["newest"], "-c", OPEN_AND_JUDGE, HERE, folder, "newest", "", check=True)
    for reader, writer in (("oldest", "newest"), ("newest", "oldest")):
        own = reader if reader == "oldest" else ""
        done = call(pythons[reader], "-c", OPEN_AND_JUDGE, HERE, folder, own, writer)
        version, difference = done.stdout.split() if not done.returncode else ("?", "inf")
        rows.append((writer, version, f"{float(difference):.0e}" if not done.returncode else done.stderr[-500:]))
        good &= float(difference) < 1e-5
    table(rows)
    return good


def suite(folder: Path, python: str) -> bool:
    """Run the test suite with another Python; return whether it passes."""
    own = folder / "suite" / "bin" / "python"
    call(python, "-m", "venv", folder / "suite", check=True)
    call(own, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt", "selenium", "distributed", check=True)
    done = subprocess.run([own, "-m", "pytest", "-ra", "-p", "no:cacheprovider"], cwd=HERE, check=False)
    version = call(own, "--version").stdout.strip()
    table([("Python", "tests"), (version, "failed" if done.returncode else "passed")])
    return not done.returncode


def module(*command) -> subprocess.CompletedProcess:
    """Run a module of this Python to its end."""
    return call(sys.executable, "-m", *command)


def call(*command, check: bool = False) -> subprocess.CompletedProcess:
    """Run a command to its end."""
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=check)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(map(str, command))}: {error.stderr[-1000:]}") from error
