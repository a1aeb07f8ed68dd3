"""Files of other people, replaced by something else: for the fuzzer and for what it found."""

import contextlib
import zipfile
from pathlib import Path

import trees

from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.errors import CheckpointError, CorpusError
from deepfake_audio.model import checkpoint, trust

GROWN = (
    *(trees.asvspoof_2017, trees.asvspoof_2019, trees.asvspoof_2021, trees.asvspoof_5, trees.ljspeech),
    *(trees.partial_spoof, trees.half_truth, trees.llama_partial_spoof, trees.mlaad),
)


def grow_targets(folder: Path) -> list[tuple[Path, Path]]:
    """Return the root of a tree and a list in it, for every kind of list that is read."""
    targets = []
    for number, grown in enumerate(GROWN):
        root = folder / str(number)
        root.mkdir()
        grown(trees.Grower(root))
        lists = {path.suffix: path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in AUDIO}
        targets += [(root, path) for path in lists.values()]
    table = folder / "table"
    table.mkdir()
    grow = trees.Grower(table)
    grow.clips("a.wav", "b.wav")
    grow.text("clips.csv", "path,label,split", "a.wav,real,train", "b.wav,hybrid,")
    grow.text("hybrid_spans.csv", "path,start_s,end_s", "b.wav,0.005,0.01")
    vad = folder / "vad"
    vad.mkdir()
    trees.partial_spoof(trees.Grower(vad), labels=False, vad=True)
    found = sorted(vad.rglob("*.vad"))[0]
    return [*targets, (table, table / "clips.csv"), (table, table / "hybrid_spans.csv"), (vad, found)]


AUDIO = (".wav", ".flac")


def read(targets: list[tuple[Path, Path]], data: bytes) -> bool:
    """Replace the list that the first byte chooses; return whether the tree was read, not refused."""
    root, path = targets[(data[0] if data else 0) % len(targets)]
    before = path.read_bytes()
    path.write_bytes(data[1:])
    try:
        return bool(find_datasets([root]))
    except CorpusError:
        return False
    finally:
        path.write_bytes(before)


def read_network(data: bytes) -> bool:
    """Look through an ONNX file; return whether it was one."""
    with contextlib.suppress(ValueError):
        return trust.suspicious_graph(data) is not None
    return False


def read_checkpoint(folder: Path, data: bytes) -> bool:
    """Read a checkpoint that says this of itself; return whether it was read, not refused."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(checkpoint.MEMBER, data)
        archive.writestr(checkpoint.SEEN_MEMBER, "")
    try:
        return checkpoint.read_checkpoint(path) is not None
    except CheckpointError:
        return False
