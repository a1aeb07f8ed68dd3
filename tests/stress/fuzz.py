"""Coverage-guided fuzzing of what reads other people's lists: protocols, tables, segment labels.

In a grown tree of a known dataset one list is replaced by what the fuzzer makes of it; the tree must be read or refused
with a CorpusError. Inputs that broke something are kept in the folder `--corpus` and belong into tests/fuzzed.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

MINUTES = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="folder that keeps what reached new code")


def run(arguments: argparse.Namespace) -> bool:
    """Fuzz in a process of its own, which is to be instrumented before it imports anything; return its success."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = arguments.corpus or Path(folder)
        corpus.mkdir(parents=True, exist_ok=True)
        options = [corpus, f"-max_total_time={arguments.seconds}", f"-artifact_prefix={corpus}/broken-"]
        return not subprocess.run([sys.executable, __file__, *options, "-print_final_stats=1"], check=False).returncode


def fuzz(corpus: Path) -> None:
    """Fuzz until libFuzzer's own options end it."""
    import atheris

    sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]
    with atheris.instrument_imports(include=["deepfake_audio"]):
        from deepfake_audio import recognise  # noqa: F401 - so that it is instrumented
    from fuzzed import grow_targets, read

    with tempfile.TemporaryDirectory() as folder:
        targets = grow_targets(Path(folder))
        for number, (_, path) in enumerate(targets):
            (corpus / f"seed-{number}").write_bytes(bytes([number]) + path.read_bytes())
        atheris.Setup(sys.argv, lambda data: read(targets, data))
        atheris.Fuzz()


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]))
