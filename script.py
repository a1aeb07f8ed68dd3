"""Judge recordings: Real, Fake or Hybrid, how sure, and where.

    python script.py recording.wav                  verdict, confidence and timeline
    python script.py a.mp3 b.mp3 --quiet            one line per file
    python script.py call.m4a --json                one JSON object per file
    python script.py clip.flac --model outputs/RUN/model.keras

Results go to stdout, everything else to stderr. Exit code 0: all files judged, 1: some file failed, 2: usage,
130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from deepfake_audio import console
from deepfake_audio.errors import DeepfakeAudioError
from deepfake_audio.settings import NO_SPEECH

HERE = Path(__file__).resolve().parent


def command_line(argv: list[str] | None) -> argparse.Namespace:
    """Understand the command line; nothing heavy is imported before this is done."""
    parser = argparse.ArgumentParser(description="Tell Real, Fake and Hybrid speech apart, with time stamps.")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="audio file: WAV, FLAC, MP3, M4A, OGG, ...")
    parser.add_argument("--model", type=Path, metavar="FILE", help="checkpoint (default: the newest under outputs/)")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line, nothing else")
    parser.add_argument("--quiet", action="store_true", help="verdict and confidence only")
    return parser.parse_args(argv)


def answer(path: Path, detector, model: dict[str, str]) -> dict:
    """Judge one file; a failure is an answer, too."""
    from deepfake_audio.files import file_sha256

    result = dict.fromkeys(
        ("path", "verdict", "confidence", "probabilities", "seconds", "speech_seconds", "fake_seconds", "segments",
         "sha256", "model", "error")
    )  # fmt: skip
    result |= {"path": str(path), "model": model, "segments": []}
    try:
        result |= detector.judge_file(path).to_dict()
        result["sha256"] = file_sha256(path)
    except DeepfakeAudioError as error:
        result["error"] = str(error)
    except OSError as error:
        result["error"] = f"{path} cannot be read ({error.strerror}); check the file."
    return result


def show(result: dict, quiet: bool) -> None:
    """Print one answer for people."""
    if quiet:
        print(f"{result['verdict']}\t{result['confidence']:.2f}\t{result['path']}")
        return
    shares = ", ".join(f"{name} {value:.2f}" for name, value in result["probabilities"].items())
    print(f"{result['path']}")
    if result["verdict"] == NO_SPEECH:
        print(
            f"  {NO_SPEECH}: {result['speech_seconds']:.1f} s of speech in {result['seconds']:.1f} s, nothing to judge"
        )
        return
    print(f"  {result['verdict']}, confidence {result['confidence']:.2f}  ({shares})")
    print(f"  {result['seconds']:.1f} s, {result['speech_seconds']:.1f} s of speech, "
          f"{result['fake_seconds']:.1f} s in fake stretches")  # fmt: skip
    for segment in result["segments"]:
        print(f"  {segment['start']:8.2f} - {segment['end']:7.2f} s  {segment['label']:4}  "
              f"probability of fake {segment['fake_probability']:.2f}")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Return the exit code."""
    console.prepare()
    arguments = command_line(argv)
    try:
        from deepfake_audio.checkpoint import PRETRAINED, newest_checkpoint, read_checkpoint

        checkpoint = read_checkpoint(arguments.model or newest_checkpoint(HERE / "outputs"))
        shipped = " (comes with the project)" if checkpoint.path.parent.name == PRETRAINED else ""
        console.say(f"Model: {checkpoint.path}{shipped}, trained {checkpoint.trained}")
        from deepfake_audio.detector import Detector  # loads TensorFlow

        detector = Detector(checkpoint)
        model = detector.model_info()
        failed = 0
        for path in arguments.paths:
            result = answer(path, detector, model)
            if arguments.json:
                print(json.dumps(result), flush=True)
            elif not result["error"]:
                show(result, arguments.quiet)
            if result["error"]:
                failed += 1
                console.say(f"error: {result['error']}")
    except DeepfakeAudioError as error:
        console.say(f"error: {error}")
        return 1
    except BrokenPipeError:
        # Whoever read the results has stopped; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        console.say("\nInterrupted; files already answered stand.")
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
