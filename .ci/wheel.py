"""Build the wheel, install it alone, judge a clip from another folder, and ask for what is not installed.

python .ci/wheel.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "data" / "starter" / "fake" / "flite-slt-001.flac"
BIN = "Scripts" if os.name == "nt" else "bin"

SENTENCES = (
    ("train", "deepfake-audio-train"),
    ("train", "deepfake-audio", CLIP, "--engine", "keras"),
    ("mic", "deepfake-audio", "--list-devices"),
    ("report", "deepfake-audio", CLIP, "--plot", "pictures"),
    ("dask", "deepfake-audio", CLIP, "--dask", "tcp://127.0.0.1:1"),
    ("web", "deepfake-audio", "--web"),
    ("kaggle", "python", "-c", "from deepfake_audio.corpus.kaggle import dataset_folder; dataset_folder('a/b')"),
)
"""What needs each extra."""


def call(*words, code: int = 0, cwd: str | None = None) -> str:
    """Run a command to its end and return what it printed; end with all that it said if it ends otherwise."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main() -> None:
    """Try it all in a folder that is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        home, elsewhere = Path(folder, "environment"), Path(folder, "elsewhere")
        elsewhere.mkdir()
        call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        call(sys.executable, "-m", "venv", home)
        call(home / BIN / "python", "-m", "pip", "install", "--quiet", *Path(folder).glob("*.whl"))
        answer = call(home / BIN / "deepfake-audio", CLIP, "--quiet", cwd=elsewhere)
        if "bundled model" not in answer or answer.split()[0] not in ("Real", "Fake", "Hybrid", "Uncertain"):
            sys.exit(f"the installed package does not judge {CLIP}: {answer}")
        for extra, command, *words in SENTENCES:
            said = call(home / BIN / command, *words, code=1, cwd=elsewhere).strip().splitlines()
            if f'pip install "deepfake-audio[{extra}]"' not in said[-1]:
                sys.exit(f"no sentence says that [{extra}] is missing: {said}")
        left = sorted(path.name for path in elsewhere.iterdir())
        if left:
            sys.exit(f"what was refused left {left}")
    print(f"The wheel judges alone and names its extras: {', '.join(dict.fromkeys(extra for extra, *_ in SENTENCES))}.")


if __name__ == "__main__":
    main()
