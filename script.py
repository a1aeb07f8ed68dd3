"""Judge recordings: Real, Fake or Hybrid, how sure, and where.

    python script.py                                listens to the microphone until Ctrl-C
    python script.py recording.wav                  verdict, confidence, timeline, and what to make of it
    python script.py calls/ "old/*.mp3"             folders and patterns, with a summary
    python script.py calls/ --csv answers.csv       one row per file; the same command again goes on where it stopped
    python script.py call.m4a --report call.html    a page with player, spectrogram and timeline
    python script.py call.m4a --json                one JSON object per file
    python script.py clip.flac --model outputs/RUN/model.keras

Results go to stdout, everything else to stderr. Exit code 0: all files judged, 1: some file failed, 2: usage,
130: interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
from pathlib import Path

from deepfake_audio import console
from deepfake_audio.errors import DeepfakeAudioError, OutputError, Stopped

HERE = Path(__file__).resolve().parent


def probability(text: str) -> float:
    """Understand a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def duration(text: str) -> float:
    """Understand a number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.3 <= value <= 36_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds between 0.3 and 36000")
    return value


def jobs(text: str) -> int:
    """Understand a number of files to work on at a time."""
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 64")
    return int(text)


def command_line(argv: list[str] | None) -> argparse.Namespace:
    """Understand the command line; nothing heavy is imported before this is done."""
    parser = argparse.ArgumentParser(description="Tell Real, Fake and Hybrid speech apart, with time stamps.")
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH",
        help="recordings, folders, patterns like *.mp3; none: listen to the microphone")  # fmt: skip
    add("--model", type=Path, metavar="FILE", help="checkpoint (default: your newest, else the one that comes along)")
    add("--json", action="store_true", help="one JSON object per file and line, nothing else")
    add("--quiet", action="store_true", help="one word per file: the verdict, or Error")
    add("--csv", type=Path, metavar="FILE", help="also write a table; files that it already answers are passed over")
    add("--report", type=Path, metavar="FILE", help="also write a page (HTML) to listen, look and print")
    add("--plot", type=Path, metavar="DIR", help="also draw each recording into DIR: spectrogram, waveform, timeline")
    add("--labels", type=Path, metavar="FILE", help="also write the timeline of one recording as Audacity labels")
    add("--engine", choices=("onnx", "keras"), default="onnx",
        help="what runs the network: onnxruntime, which starts faster, or Keras (default: %(default)s)")  # fmt: skip
    add("--jobs", type=jobs, metavar="N", default=min(4, os.cpu_count() or 1),
        help="recordings that are decoded at the same time (default: %(default)s)")  # fmt: skip
    add("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that judges the recordings")
    add("--threshold", type=probability, metavar="P",
        help="call Fake or Hybrid whatever is not Real with probability P or more; prints what that costs")  # fmt: skip
    add("--seconds", type=duration, metavar="N", help="listen to the microphone for N seconds instead of until Ctrl-C")
    add("--device", metavar="NAME", help="microphone: its number, or part of its name")
    add("--list-devices", action="store_true", help="list the microphones")
    add("--outputs", type=Path, metavar="DIR", default=HERE / "outputs", help="where recordings go (default: outputs/)")
    arguments = parser.parse_args(argv)
    if arguments.paths and (arguments.seconds or arguments.device or arguments.list_devices):
        parser.error("--seconds, --device and --list-devices are for the microphone: give no PATH with them")
    if arguments.dask and not arguments.paths:
        parser.error("--dask is for recordings: name a PATH")
    if arguments.json and arguments.quiet:
        parser.error("--json and --quiet contradict each other")
    return arguments


def tell(result: dict, arguments: argparse.Namespace) -> None:
    """Print one answer; what went wrong goes to stderr."""
    from deepfake_audio.wording import describe

    if arguments.json:
        print(json.dumps(result), flush=True)
    elif arguments.quiet:
        print(result["verdict"] or "Error", flush=True)
    elif not result["error"]:
        print("\n".join(describe(result)), flush=True)
    if result["error"]:
        console.say(f"error: {console.clean(result['error'])}")


def judge_recordings(arguments: argparse.Namespace, checkpoint, detector=None) -> int:
    """Judge all that is named; return the exit code."""
    from deepfake_audio import outputs, scan
    from deepfake_audio.cluster import cluster

    if arguments.threshold is not None:
        from deepfake_audio.rates import expected_rates

        console.say(expected_rates(checkpoint.path, arguments.threshold))
    found = scan.find_recordings(arguments.paths)
    if arguments.labels and len(found) > 1:
        raise OutputError(f"--labels takes the timeline of one recording, but {len(found)} are named: name one.")
    with contextlib.ExitStack() as stack:
        wanted = (arguments.csv, arguments.report, arguments.plot, arguments.labels)
        files = outputs.Outputs(checkpoint, *wanted, arguments.threshold, stack)
        stack.enter_context(cluster(arguments.dask))
        if detector is None and not arguments.dask and any(error is None for _, error in found):
            from deepfake_audio import decoding
            from deepfake_audio.detector import Detector

            decoding.prepare()
            detector = Detector(checkpoint, arguments.threshold, arguments.engine)
        bar, summary, known = console.Bar(len(found)), scan.Summary(), 0
        stopped = threading.Event()
        stack.callback(bar.clear)
        stack.callback(stopped.set)

        def finished(path: Path) -> scan.Answer | None:
            return files.table.finished(path) if files.table else None

        def judge(path: Path) -> scan.Answer:
            def heard(seconds: float) -> None:
                bar.show(f"{path.name}: {seconds / 60:.1f} min heard")
                if stopped.is_set():
                    raise Stopped

            return finished(path) or scan.answer(path, detector, files.model, files.glimpse(), heard)

        if arguments.dask:
            use = checkpoint.path, arguments.threshold, arguments.engine
            travelling = scan.Judge(*use, files.model, files.glimpse())
            answers = scan.answer_on_cluster(found, travelling, files.model, finished)
        else:
            answers = scan.answer_all(found, judge, files.model, arguments.jobs)
        bar.show()
        for answer in answers:
            summary.add(answer.result)
            bar.clear()
            if answer.known:
                known += 1
            else:
                tell(answer.result, arguments)
                files.add(answer)
            bar.step()
    if known:
        console.say(f"{known} of {len(found)} recordings were already answered in {console.clean(arguments.csv)}.")
    if len(found) > 1 and not (arguments.json or arguments.quiet):
        print(f"\n{summary}")
    return 1 if summary.files["Error"] else 0


def listen(arguments: argparse.Namespace, checkpoint) -> int:
    """Judge a live voice, then the whole recording; return the exit code."""
    from deepfake_audio import microphone
    from deepfake_audio.runs import new_folder

    device = int(arguments.device) if (arguments.device or "").isdigit() else arguments.device
    rate = checkpoint.settings.features.sample_rate
    microphone.Microphone(device, rate).__exit__()  # what is wrong with it is said before the network loads
    from deepfake_audio.detector import Detector

    detector = Detector(checkpoint, arguments.threshold, arguments.engine)
    microphone.warm_up(detector)
    in_place, width = sys.stderr.isatty(), shutil.get_terminal_size().columns - 1

    def show(moment: microphone.Moment) -> None:
        # A line that wraps could not be written over.
        line = f"\r{str(moment)[:width]:{width}}" if in_place else f"{moment}\n"
        print(line, end="", file=sys.stderr, flush=True)

    with microphone.Microphone(device, rate) as source:
        recording = new_folder(arguments.outputs, "recording") / "recording.flac"
        console.say(f"Listening to {source.name} at {source.native_rate} Hz; Ctrl-C ends.")
        console.say("Level, verdict on the last seconds, and their timeline: r real, F fake, . no speech")
        ended = microphone.listen(detector, source, recording, show, arguments.seconds)
    console.say("")
    if source.lost_seconds:
        console.say(f"warning: {source.lost_seconds:.1f} s of sound were lost; close other programs while listening.")
    arguments.paths, arguments.report = [str(recording)], arguments.report or recording.with_name("report.html")
    code = judge_recordings(arguments, checkpoint, detector)
    console.say(f"Recording and report: {console.clean(recording.parent)}")
    if ended:
        console.say(f"error: {ended}")
    return 1 if ended else code


def main(argv: list[str] | None = None) -> int:
    """Return the exit code."""
    console.prepare()
    arguments = command_line(argv)
    try:
        if arguments.list_devices:
            from deepfake_audio.microphone import list_devices

            print("\n".join(list_devices()))
            return 0
        from deepfake_audio.checkpoint import PRETRAINED, newest_checkpoint, read_checkpoint

        checkpoint = read_checkpoint(arguments.model or newest_checkpoint(HERE / "outputs"))
        shipped = " (comes with the project)" if checkpoint.path.parent.name == PRETRAINED else ""
        console.say(f"Model: {console.clean(checkpoint.path)}{shipped}, trained {checkpoint.trained}")
        return (judge_recordings if arguments.paths else listen)(arguments, checkpoint)
    except DeepfakeAudioError as error:
        console.say(f"error: {console.clean(error)}")
        return 1
    except BrokenPipeError:
        # Whoever read the results has stopped; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        console.say("\nInterrupted; files already answered stand.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
