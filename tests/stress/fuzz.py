"""Coverage-guided fuzzing of what reads other people's files: protocols, tables, segment labels; networks, checkpoints.

In a grown tree of a known dataset one list is replaced by what the fuzzer makes of it; the tree must be read or refused
with a CorpusError. A network in ONNX must be looked through or refused with a ValueError, what a checkpoint says of
itself read or refused with a CheckpointError. Inputs that broke something are kept in the folder `--corpus`; they
belong into tests/fuzzed.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]

MINUTES = 40


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=600, help="for each of them (%(default)s)")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what reached new code")


def run(arguments: argparse.Namespace) -> bool:
    """Fuzz in processes of their own, which are to be instrumented before they import anything; return the success."""
    with tempfile.TemporaryDirectory() as folder:
        return all([fuzzed(name, (arguments.corpus or Path(folder)) / name, arguments.seconds) for name in READERS])


def fuzzed(name: str, corpus: Path, seconds: int) -> bool:
    """Fuzz one reader; return whether nothing was found."""
    corpus.mkdir(parents=True, exist_ok=True)
    options = [corpus, f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/broken-", "-print_final_stats=1"]
    return not subprocess.run([sys.executable, __file__, name, *options], check=False).returncode


def lists(corpus: Path, folder: Path) -> Callable[[bytes], object]:
    """Write lists to begin with; return what reads one that is chosen by the first byte."""
    from fuzzed import grow_targets, read

    targets = grow_targets(folder)
    for number, (_, path) in enumerate(targets):
        (corpus / f"seed-{number}").write_bytes(bytes([number]) + path.read_bytes())
    return lambda data: read(targets, data)


def networks(corpus: Path, _: Path) -> Callable[[bytes], object]:
    """Write the head of a network, which is all but its weights, to begin with; return what reads one."""
    from fuzzed import read_network

    with zipfile.ZipFile(HERE / "outputs" / "pretrained" / "model.keras") as archive:
        (corpus / "seed").write_bytes(archive.read("model.onnx")[:4000])
    return read_network


def checkpoints(corpus: Path, folder: Path) -> Callable[[bytes], object]:
    """Write what a checkpoint says of itself, to begin with; return what reads one that says something else."""
    from fuzzed import read_checkpoint

    from deepfake_audio.model.checkpoint import MEMBER

    with zipfile.ZipFile(HERE / "outputs" / "pretrained" / "model.keras") as archive:
        (corpus / "seed").write_bytes(archive.read(MEMBER))
    return lambda data: read_checkpoint(folder, data)


READERS = {"lists": lists, "networks": networks, "checkpoints": checkpoints}


def fuzz(name: str, corpus: Path) -> None:
    """Fuzz until libFuzzer's own options end it."""
    import atheris

    sys.path[:0] = [str(HERE), str(HERE / "tests")]
    with atheris.instrument_imports(include=["deepfake_audio"]):
        from deepfake_audio.corpus import recognise  # noqa: F401 - so that they are instrumented
        from deepfake_audio.model import checkpoint, trust  # noqa: F401 - so that they are instrumented

    with tempfile.TemporaryDirectory() as folder:
        read = READERS[name](corpus, Path(folder))
        atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
        atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]))
