"""The microphone: a pretended one for all that can go wrong, and a real audio path where PulseAudio is installed."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import soundfile
import tiny
from commands import ENVIRONMENT, JUDGE, only

import script
from deepfake_audio.answers import live
from deepfake_audio.answers.live import Moment, listen, timeline_text
from deepfake_audio.errors import MicrophoneError, OutputError
from deepfake_audio.judging.decision import Judgement
from deepfake_audio.judging.detector import Detector
from deepfake_audio.judging.timeline import Segment
from deepfake_audio.settings import NO_SPEECH, SAMPLE_RATE
from deepfake_audio.sound import microphone
from deepfake_audio.sound.channels import MIXED
from deepfake_audio.sound.microphone import Microphone, list_devices
from deepfake_audio.sound.reading import write_flac


class PortAudioError(Exception):
    """Stand-in for sounddevice's own."""


DEVICES = [
    {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48_000.0},
    {"name": "Desk mic\x1b[2J", "max_input_channels": 2, "default_samplerate": 44_100.0},
]


def pretend(monkeypatch, blocks=(), devices=DEVICES, refuse=None, overflow=False):
    """Put a sounddevice in place whose stream delivers `blocks` at once, then nothing."""

    class Stream:
        def __init__(self, callback, **options):
            if refuse:
                raise PortAudioError(refuse)
            self.callback, self.options = callback, options

        def start(self):
            for block in blocks:
                self.callback(block, len(block), None, types.SimpleNamespace(input_overflow=overflow))

        def close(self):
            pass

    def query(device=None, kind=None):
        if kind is None:
            return devices
        found = [d for n, d in enumerate(devices) if d["max_input_channels"] and device in (None, n, d["name"])]
        if not found:
            raise PortAudioError("Error querying device -1")
        return found[0]

    fake = types.SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=Stream,
        query_devices=query,
        default=types.SimpleNamespace(device=(1, 0)),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    monkeypatch.setattr(microphone, "VANISHED_SECONDS", 0.05)


def stereo(samples, rate=44_100):
    """Cut mono samples into the blocks that a device sends."""
    return np.array_split(np.stack([samples, samples], axis=1).astype(np.float32), max(1, len(samples) * 20 // rate))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return Detector(
        tiny.save_untrained(tmp_path_factory.mktemp("microphone") / "run-1" / "model.keras", tiny.settings())
    )


def hear(monkeypatch, detector, path, samples, seconds=None, **options):
    """Listen to pretended sound; return the moments that were shown and why listening ended."""
    pretend(monkeypatch, stereo(samples), **options)
    moments = []
    with Microphone(None, SAMPLE_RATE) as source:
        return moments, listen(detector, source, path, moments.append, seconds)


def noise(seconds, level=0.1):
    return level * np.random.default_rng(0).normal(size=round(44_100 * seconds)).clip(-3, 3)


def test_devices_are_listed_without_those_that_cannot_record(monkeypatch):
    pretend(monkeypatch)
    assert list_devices() == ["*   1  Desk mic\\x1b[2J  (2 channels, 44100 Hz)"]


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_what_is_missing_is_one_sentence_with_the_next_step(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    step = microphone.ALLOW[platform]
    pretend(monkeypatch, devices=DEVICES[:1])
    for ask in (list_devices, lambda: Microphone(None, SAMPLE_RATE)):
        with pytest.raises(MicrophoneError, match="No microphone was found") as error:
            ask()
        assert step in str(error.value)
    pretend(monkeypatch, refuse="Unanticipated host error")
    with pytest.raises(MicrophoneError, match="cannot be opened") as error:
        Microphone(None, SAMPLE_RATE)
    assert step in str(error.value)
    pretend(monkeypatch)
    with pytest.raises(MicrophoneError, match="--list-devices"):
        Microphone("Nobody", SAMPLE_RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MicrophoneError, match="pip install"):
        list_devices()


def test_a_missing_portaudio_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MicrophoneError, match="libportaudio2"):
        list_devices()


def test_what_is_heard_is_resampled_saved_and_judged_every_second(monkeypatch, detector, tmp_path):
    path = tmp_path / "new" / "recording.flac"
    samples = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(4 * 44_100) / 44_100)
    moments, ended = hear(monkeypatch, detector, path, samples, seconds=3.5)
    assert ended is None
    assert [round(moment.seconds) for moment in moments] == [1, 2, 3, 4]
    assert moments[0].peak_db == pytest.approx(-10.5, abs=0.5)
    kept, rate = soundfile.read(path)
    assert rate == SAMPLE_RATE and len(kept) == 3.5 * SAMPLE_RATE
    spectrum = np.abs(np.fft.rfft(kept))
    assert spectrum.argmax() / 3.5 == pytest.approx(1000, abs=1)


def test_a_device_that_vanishes_is_said_and_what_it_sent_is_kept(monkeypatch, detector, tmp_path):
    moments, ended = hear(monkeypatch, detector, tmp_path / "recording.flac", noise(2.2))
    assert "stopped sending sound" in str(ended) and len(moments) == 2
    assert soundfile.info(tmp_path / "recording.flac").duration == pytest.approx(2.2, abs=0.1)


def test_ctrl_c_ends_listening_and_keeps_the_recording(monkeypatch, detector, tmp_path):
    pretend(monkeypatch, stereo(noise(3)))

    def stop(moment):
        raise KeyboardInterrupt

    with Microphone(None, SAMPLE_RATE) as source:
        assert listen(detector, source, tmp_path / "recording.flac", stop) is None
    assert soundfile.info(tmp_path / "recording.flac").duration == pytest.approx(1.0, abs=0.1)


class FullDisk:
    """Writes one second of FLAC and then no more."""

    def __init__(self, *arguments, **options):
        self.file, self.written = soundfile.SoundFile(*arguments, **options), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, piece):
        self.written += len(piece)
        if self.written > SAMPLE_RATE:
            raise soundfile.LibsndfileError(2)
        self.file.write(piece)


def test_what_a_disk_that_fills_up_took_is_kept_and_judged(monkeypatch, detector, tmp_path, capsys):
    pretend(monkeypatch, stereo(noise(3)))
    monkeypatch.setattr(live, "soundfile", types.SimpleNamespace(**vars(soundfile) | {"SoundFile": FullDisk}))
    code = script.main(["--model", str(detector.checkpoint.path), "--outputs", str(tmp_path)])
    out, told = capsys.readouterr()
    assert code == 1 and "cannot be written any further" in told and "Traceback" not in told
    assert told.count("error: ") == 1 and "recording.flac" in out
    assert soundfile.info(only(tmp_path, "recording-*") / "recording.flac").duration == pytest.approx(1.0, abs=0.1)


def test_a_recording_that_cannot_be_begun_is_one_sentence(monkeypatch, detector, tmp_path):
    pretend(monkeypatch, stereo(noise(3)))
    (tmp_path / "file").touch()
    with Microphone(None, SAMPLE_RATE) as source, pytest.raises(OutputError, match="cannot be written"):
        listen(detector, source, tmp_path / "file" / "recording.flac", print)


@pytest.mark.skipif(sys.platform == "win32", reason="there a file that is open cannot be removed")
def test_a_recording_that_is_removed_while_it_grows_is_said(monkeypatch, detector, tmp_path):
    pretend(monkeypatch, stereo(noise(3)))
    path = tmp_path / "out" / "recording.flac"
    with Microphone(None, SAMPLE_RATE) as source, pytest.raises(OutputError, match="was removed while"):
        listen(detector, source, path, lambda _: shutil.rmtree(path.parent, ignore_errors=True), seconds=2)


def nobody_waits(self):
    """Take the place of `Microphone.pieces`: Ctrl-C comes before the first sound does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("vanished", [False, True])
def test_where_nothing_was_heard_nothing_is_judged_or_kept(monkeypatch, detector, tmp_path, capsys, vanished):
    pretend(monkeypatch)
    if not vanished:
        monkeypatch.setattr(Microphone, "pieces", nobody_waits)
    code = script.main(["--model", str(detector.checkpoint.path), "--outputs", str(tmp_path / "out")])
    out, told = capsys.readouterr()
    assert code == (1 if vanished else 0) and out == ""
    assert "Nothing was heard" in told and "no samples" not in told and "Interrupted" not in told
    assert ("stopped sending sound" in told) == vanished
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("samples", "options", "trouble"),
    [
        (noise(4, level=1e-5), {}, "silent"),
        (noise(4, level=1e-3), {}, "quiet"),
        (noise(4, level=1.0).clip(-1, 1), {}, "clipped"),
        (noise(4), {"overflow": True}, "lost"),
        (noise(4), {}, "behind"),  # all of it came at once
    ],
)
def test_troubles_are_said(monkeypatch, detector, tmp_path, samples, options, trouble):
    moments, _ = hear(monkeypatch, detector, tmp_path / "recording.flac", samples, **options)
    assert any(trouble in str(moment) for moment in moments)
    fine, _ = hear(monkeypatch, detector, tmp_path / "fine.flac", noise(1.2))
    assert fine[0].troubles == ()


def test_sound_that_nobody_takes_in_time_is_counted_as_lost(monkeypatch):
    monkeypatch.setattr(microphone, "MOST_WAITING_SECONDS", 2.0)
    pretend(monkeypatch, stereo(noise(5)))
    with Microphone(None, SAMPLE_RATE) as source:
        assert source.lost_seconds == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("apart", [False, True])
def test_channels_that_are_mixed_though_they_differ_are_said(monkeypatch, detector, tmp_path, capsys, apart):
    left, right = noise(2), noise(4)[-88_200:]
    pretend(monkeypatch, np.array_split(np.stack([left, right if apart else left], axis=1).astype(np.float32), 40))
    script.main(["--model", str(detector.checkpoint.path), "--outputs", str(tmp_path), "--seconds", "1"])
    assert (MIXED in capsys.readouterr().err) == apart


def test_a_moment_is_one_line_of_ascii():
    segments = (Segment(0.0, 1.0, "Real", 0.1), Segment(1.0, 2.0, NO_SPEECH, None), Segment(2.0, 3.0, "Fake", 0.9))
    judgement = Judgement("Hybrid", 0.71, {}, segments, np.zeros(150), 3.0, 2.0)
    line = str(Moment(12.0, -18.0, judgement, ("clipped: lower the input level",)))
    assert line.isascii() and len(line) < 100 and "Hybrid 0.71" in line and "[=======...]" in line
    assert "|      rr..FF|" in line and timeline_text(judgement).endswith("rr..FF")


# A real audio path


@pytest.fixture(scope="module")
def sound_card(tmp_path_factory):
    """Start PulseAudio with a sink whose monitor is the default source; yield the environment that uses it."""
    if not all(map(shutil.which, ("pulseaudio", "pactl", "paplay"))):
        pytest.skip("PulseAudio is not installed")
    folder = tmp_path_factory.mktemp("pulse")
    folder.chmod(0o700)
    environment = ENVIRONMENT | {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-L", "module-native-protocol-unix"]
    command += ["-L", "module-null-sink sink_name=deaf rate=48000"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            asked = subprocess.run(
                ["pactl", "set-default-source", "deaf.monitor"], env=environment, capture_output=True
            )
            if asked.returncode == 0:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.2)
        listed = subprocess.run(
            [sys.executable, JUDGE, "--list-devices"], env=environment, capture_output=True, text=True, timeout=60
        )
        if listed.returncode:
            pytest.skip(f"no sound card can be had here: {listed.stderr.strip()}")
        yield environment
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.skipif(os.name == "nt", reason="PulseAudio and SIGINT are not for Windows")
def test_what_is_played_is_heard_judged_and_saved(sound_card, detector, tmp_path):
    write_flac(tmp_path / "played.flac", tiny.voice("Hybrid", 60.0, np.random.default_rng(0)))
    player = subprocess.Popen(["paplay", str(tmp_path / "played.flac")], env=sound_card)
    command = [sys.executable, JUDGE, "--model", detector.checkpoint.path, "--outputs", tmp_path / "out", "--json"]
    process = subprocess.Popen(
        list(map(str, command)), env=sound_card, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if line.split()[:2] == ["4", "s"]:
                process.send_signal(signal.SIGINT)
                break
        out, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        player.kill()
        player.wait()
    assert process.returncode == 0, "".join(told) + rest
    lines = [line for line in told if line.split()[1:2] == ["s"]]
    assert len(lines) == 4 and all("[=" in line and "|" in line for line in lines), told
    assert "The recording is kept and judged as a whole now; Ctrl-C ends that, too." in rest
    answer = json.loads(out)
    recording = only(tmp_path / "out", "recording-*/recording.flac")
    assert answer["path"] == str(recording) and recording.with_name("report.html").stat().st_size
    heard, rate = soundfile.read(recording)
    assert rate == SAMPLE_RATE and 4 <= len(heard) / rate < 8 and np.abs(heard).max() > 0.1
    assert {k: answer[k] for k in ("verdict", "segments")} == {
        k: v for k, v in detector.judge(recording).to_dict().items() if k in ("verdict", "segments")
    }
