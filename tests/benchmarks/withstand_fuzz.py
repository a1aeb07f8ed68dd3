"""Coverage-guided fuzzing of what reads other people's lists: protocols, tables, segment labels.

    pip install atheris
    python tests/benchmarks/withstand_fuzz.py CORPUS -max_total_time=600

In a grown tree of a known dataset one list is replaced by what the fuzzer makes of it; the tree must be read or refused
with a CorpusError. CORPUS is a folder that keeps what reached new code; inputs that broke something are written to the
working directory and belong into tests/data/fuzzed (see tests/test_fuzzed.py). All options are libFuzzer's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

with atheris.instrument_imports(include=["deepfake_audio"]):
    from deepfake_audio import recognise  # noqa: F401 - so that it is instrumented

from fuzzed import grow_targets, read  # noqa: E402 - after the path to it


def main() -> None:
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        targets = grow_targets(Path(folder))
        for number, (_, path) in enumerate(targets):
            (corpus / f"seed-{number}").write_bytes(bytes([number]) + path.read_bytes())
        atheris.Setup(sys.argv, lambda data: read(targets, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
