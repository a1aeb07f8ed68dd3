"""Judge recordings: Real, Fake or Hybrid, how sure, and where.

    python script.py                                listens to the microphone until Ctrl-C
    python script.py recording.wav                  verdict, confidence, timeline, and what to make of it
    python script.py calls/ "old/*.mp3"             folders and patterns, with a summary
    python script.py calls/ --csv answers.csv       one row per file; the same command again goes on where it stopped
    python script.py call.m4a --report call.html    a page with player, spectrogram and timeline
    python script.py call.m4a --json                one JSON object per file
    ffmpeg -i talk.mkv -f wav - | python script.py -    a recording that comes through a pipe
    python script.py --web                          a page in the browser: drop recordings there, or speak
    python script.py clip.flac --model outputs/RUN/model.keras

Results go to stdout, everything else to stderr. Exit code 0: all files judged, 1: some file failed, 2: usage,
130: interrupted.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent)]  # which python -I leaves out

from deepfake_audio import early

if __name__ == "__main__":
    early.begin(early.JUDGING)

import contextlib
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator

from deepfake_audio import console, interrupts, options, places
from deepfake_audio.errors import OutputError
from deepfake_audio.text import clean

FEW_CLIPS = 1000
"""After the starter corpus a model has seen some 450, splices included; the bundled model has seen 18,708."""


def find(arguments: Namespace) -> list[tuple[Path, str | None]]:
    """Return what is named: recordings, and sentences in place of those that cannot be found."""
    from deepfake_audio.answers.find import describe_passed_over, find_recordings
    from deepfake_audio.answers.outputs import check

    passed_over = Counter()
    found = find_recordings(arguments.paths, passed_over)
    if passed_over:
        console.say(clean(describe_passed_over(passed_over)))
    check(found, arguments.files)
    return found


def load(arguments: Namespace, checkpoint):
    """Return the detector that judges, by the rule that is asked for."""
    from deepfake_audio.judging.detector import Detector

    return Detector(checkpoint, arguments.threshold, arguments.engine, arguments.operating_point)


def judge(arguments: Namespace, checkpoint, found, files, detector=None) -> Iterator:
    """Yield an answer per recording, in order, from this machine or a cluster."""
    from deepfake_audio.judging import many
    from deepfake_audio.sound import decoders

    if arguments.dask:
        rule = arguments.threshold, arguments.engine, arguments.operating_point
        worker = many.Judge(checkpoint.path, *rule, files.model, files.glimpse())
        return many.judge_on_cluster(found, worker, files.known)
    if detector is None and any(error is None for _, error in found):
        decoders.prepare()
        detector = load(arguments, checkpoint)
    return many.judge_all(found, detector, files.model, arguments.jobs, files.glimpse, files.known)


def answer(arguments: Namespace, checkpoint, detector=None) -> int:
    """Find what is named, judge it, show and write the answers; return the exit code."""
    from deepfake_audio.answers.outputs import Outputs, show
    from deepfake_audio.answers.table import Summary
    from deepfake_audio.judging.decision import name_rule
    from deepfake_audio.work import cluster

    if arguments.threshold is not None:
        from deepfake_audio.evaluation.rates import expected_rates

        console.say(expected_rates(checkpoint.path, arguments.threshold))
    found, summary, known = find(arguments), Summary(), 0
    rule = name_rule(arguments.threshold, arguments.operating_point)
    with Outputs(checkpoint, arguments.files, rule) as files, cluster(arguments.dask):
        judged = judge(arguments, checkpoint, found, files, detector)
        with contextlib.closing(judged):  # after Ctrl-C, too
            for one in judged:
                summary.add(one.result)
                if one.known:
                    known += 1
                else:
                    show(one.result, arguments.json, arguments.quiet)
                    files.add(one)
    if known:
        console.say(f"{known} of {len(found)} recordings were already answered in {clean(arguments.files['csv'])}.")
    if len(found) > 1 and not (arguments.json or arguments.quiet):
        print(f"\n{summary}")
    return 1 if summary.files["Error"] else 0


def listen(arguments: Namespace, checkpoint, watch: interrupts.Watch) -> int:
    """Judge a live voice, then the whole recording; return the exit code."""
    from deepfake_audio.answers import live
    from deepfake_audio.sound.channels import MIXED
    from deepfake_audio.sound.microphone import Microphone
    from deepfake_audio.training.runs import new_folder

    device = int(arguments.device) if (arguments.device or "").isdecimal() else arguments.device
    rate = checkpoint.settings.features.sample_rate
    Microphone(device, rate).close()  # what is wrong with it is said before the network loads
    detector = load(arguments, checkpoint)
    live.warm_up(detector)
    with Microphone(device, rate) as source, interrupts.expected():
        recording = new_folder(arguments.outputs, "recording") / "recording.flac"
        console.say(f"Listening to {source.name} at {source.native_rate} Hz; Ctrl-C ends.")
        console.say("Level, verdict on the last seconds, and their timeline: r real, F fake, . no speech")
        again = console.command_line([*places.JUDGE.split(), recording])
        watch.sentence = f"Interrupted; what was heard, if anything, is kept: {clean(again)}"
        ended = live.listen(detector, source, recording, console.live_line(), arguments.seconds)
    heard = recording.is_file()
    console.say("\nThe recording is kept and judged as a whole now; Ctrl-C ends that, too." if heard else "")
    if source.lost_seconds:
        console.say(f"warning: {source.lost_seconds:.1f} s of sound were lost; close other programs while listening.")
    if source.channels.apart():
        console.say(f"note: {source.name}: {MIXED}")
    if ended:
        console.say(f"error: {clean(ended)}")
    code = 0
    if heard:
        arguments.paths = [str(recording)]
        if not isinstance(ended, OutputError):  # on a disk that is full there is no room for a page, either
            arguments.files.setdefault("report", recording.with_name("report.html"))
        code = answer(arguments, checkpoint, detector)
        console.say(f"Recording and report: {clean(recording.parent)}")
    else:
        console.say("Nothing was heard, so there is nothing to judge and nothing was kept.")
    return 1 if ended else code


def open_page(arguments: Namespace, checkpoint) -> int:
    """Judge what is dropped on a page in the browser, until Ctrl-C; return the exit code."""
    try:
        from deepfake_audio.answers import web
    except ImportError as error:  # matplotlib or Jinja2, which draw the pages of recordings
        raise OutputError(f"--web needs the package {error.name}: run '{places.how_to_install('web')}'.") from error

    web.check(arguments.host, arguments.port)  # what is wrong is said before the network loads
    web.serve(load(arguments, checkpoint), arguments.host, arguments.port, arguments.login, arguments.jobs)
    return 0


def choose(arguments: Namespace):
    """Return the checkpoint that answers, and say which one and why."""
    from deepfake_audio.model.checkpoint import choose_checkpoint, read_checkpoint

    path, why = (arguments.model, "as you named it") if arguments.model else choose_checkpoint(places.outputs())
    checkpoint = read_checkpoint(path)
    console.say(f"Model: {clean(checkpoint.path)}, trained {checkpoint.trained} ({clean(why)})")
    clips = len(checkpoint.seen())
    if clips < FEW_CLIPS:
        console.say(f"warning: it has seen {clips} clips in training, splices included: too few for unseen speakers.")
    return checkpoint


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0 fine, 1 some file failed, 2 usage, 130 interrupted."""
    console.prepare()
    arguments = options.judging(argv, places.outputs())

    def work(watch: interrupts.Watch) -> int:
        with console.results():
            if arguments.list_devices:
                from deepfake_audio.sound.microphone import list_devices

                print("\n".join(list_devices()))
                return 0
            checkpoint = choose(arguments)
            if arguments.web:
                return open_page(arguments, checkpoint)
            return answer(arguments, checkpoint) if arguments.paths else listen(arguments, checkpoint, watch)

    return options.run(work, options.farewell(arguments))


if __name__ == "__main__":
    sys.exit(main())
