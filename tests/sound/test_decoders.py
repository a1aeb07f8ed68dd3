"""A decoder that crashes, hangs or swallows memory ends with its recording; the next recording has another one."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
import tiny
from commands import ENVIRONMENT, HERE, JUDGE

from deepfake_audio.errors import AudioError
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound import decoders
from deepfake_audio.sound.reading import about_audio, read_audio

SOUND = np.random.default_rng(0).integers(-9000, 9000, SAMPLE_RATE).astype(np.int16)

# Takes the place of soundfile in the other process: that library has no bug that could be relied upon.
TREACHEROUS = """
    import ctypes, os, pathlib, sys
    sys.path.remove({here!r})
    this = sys.modules.pop("soundfile")
    import soundfile as honest
    sys.modules["soundfile"] = this
    sys.path.insert(0, {here!r})
    globals().update({{name: value for name, value in vars(honest).items() if name[0] != "_"}})

    class SoundFile(honest.SoundFile):
        def read(self, *arguments, **options):
            if "crash" in self.name:
                os.abort()
            if "hang" in self.name:
                pathlib.Path({here!r}, "hangs").touch()
                ctypes.PyDLL(None).sleep(100)  # without giving up the interpreter
            if "swallow" in self.name:
                bytearray({too_much})
            if "chatter" in self.name:
                os.write(1, b"warning: what a file!")
            return super().read(*arguments, **options)
"""


@pytest.fixture
def treacherous(tmp_path_factory, monkeypatch):
    """Decoders that do what the name of a recording says."""
    here = tmp_path_factory.mktemp("libraries")
    text = TREACHEROUS.format(here=str(here), too_much=2 * decoders.MEMORY_BYTES)
    (here / "soundfile.py").write_text(textwrap.dedent(text), encoding="utf-8")
    decoders.stop()
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setattr(decoders, "TIMEOUT_SECONDS", 2.0)
    yield here
    decoders.stop()


@pytest.fixture
def recording(tmp_path):
    def make(name):
        path = tmp_path / name
        soundfile.write(path, SOUND, SAMPLE_RATE, format="WAV")
        return path

    return make


@pytest.mark.usefixtures("treacherous")
@pytest.mark.skipif(sys.platform == "win32", reason="the treachery is made with the C library of other systems")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("crash.wav", "makes the decoder crash: convert it to WAV with another program."),
        ("hang.wav", "was not decoded within 2 s for a part of it: convert it to WAV first."),
        pytest.param(
            *("swallow.wav", "needs more than 1024 MiB to be decoded: convert it to WAV first."),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory elsewhere"),
        ),
    ],
)
def test_what_a_recording_does_to_its_decoder_is_one_sentence(recording, name, sentence):
    path = recording(name)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value) == f"'{path}' {sentence}"
    assert np.array_equal(read_audio(recording("good.wav")) * 32768, SOUND)


@pytest.mark.usefixtures("treacherous")
@pytest.mark.skipif(sys.platform == "win32", reason="the treachery is made with the C library of other systems")
def test_threads_do_not_pay_for_each_other(recording):
    paths = [recording(f"{number}-{'crash' if number % 3 == 1 else 'good'}.wav") for number in range(12)]

    def read(path):
        try:
            return len(read_audio(path))
        except AudioError:
            return "crash"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, paths)) == ["crash" if "crash" in path.name else len(SOUND) for path in paths]


@pytest.mark.usefixtures("treacherous")
def test_what_a_library_prints_is_not_taken_for_samples(recording):
    assert np.array_equal(read_audio(recording("chatter.wav")) * 32768, SOUND)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process on Windows")
def test_ctrl_c_does_not_wait_for_a_decoder_that_hangs(recording, treacherous, tmp_path):
    model = tiny.save_untrained(tmp_path / "run-1" / "model.keras", tiny.settings()).path
    command = [sys.executable, str(JUDGE), str(recording("hang.wav")), "--model", str(model)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(treacherous)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (treacherous / "hangs").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and b"Interrupted" in told
    assert time.monotonic() - started < 20, "a minute is what the decoder has"


def test_a_decoder_decodes_one_recording_after_the_other(recording):
    decoders.stop()
    path = recording("a.wav")
    read_audio(path)
    [decoder] = decoders._idle
    assert about_audio(path)["subtype"] == "PCM_16" and about_audio(__file__) is None
    assert np.array_equal(read_audio(path) * 32768, SOUND)
    assert list(decoders._idle) == [decoder] and decoder.poll() is None and not decoders._busy


def test_forty_requests_at_once_share_a_few_decoders_that_end_when_idle(recording, monkeypatch):
    decoders.stop()
    monkeypatch.setattr(decoders, "MOST_DECODERS", 3)
    monkeypatch.setattr(decoders, "IDLE_SECONDS", 2.0)
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 1000)
    path, most = recording("a.wav"), []

    def read(_):
        count = len(read_audio(path))
        most.append(len(decoders._busy) + len(decoders._idle))
        return count

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(read, range(40))) == [len(SOUND)] * 40
    assert max(most) <= 3
    started = list(decoders._idle)
    deadline = time.monotonic() + 20.0
    while any(decoder.poll() is None for decoder in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started and all(decoder.poll() is not None for decoder in started)
    assert len(read_audio(path)) == len(SOUND)


def test_who_holds_all_decoders_does_not_wait_for_himself(recording, monkeypatch):
    monkeypatch.setattr(decoders, "MOST_DECODERS", 1)
    monkeypatch.setattr(decoders, "TIMEOUT_SECONDS", 1.0)
    with decoders.Recording(recording("a.wav")) as first, decoders.Recording(recording("b.wav")) as second:
        assert len(list(first.blocks())) == len(list(second.blocks())) == 1


PROGRAM = """#!{python}
import sys
sys.path[:0] = [{here!r}]
{kind}
from deepfake_audio.sound import decoders, reading
print(*[len(reading.read_audio(path)) for path in sys.argv[1:] * 2], type(next(iter(decoders._idle))).__name__)
"""


FROZEN = "sys.frozen, sys.executable = True, __file__"


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no executable there")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (f"{FROZEN}; import multiprocessing.spawn; multiprocessing.spawn.freeze_support()", "16000 16000 Spawned"),
        ("sys.executable = ''", "16000 16000 Spawned"),
        ("sys.executable = None", "16000 16000 Spawned"),
        (FROZEN, "was not decoded"),  # but it does not start itself for ever
    ],
)
def test_programs_that_are_no_interpreter_decode_too(recording, tmp_path, kind, expected):
    program = tmp_path / "program"
    # multiprocessing gives its child this name, and options of its own.
    code = kind.replace("__file__", repr(str(program)))
    program.write_text(PROGRAM.format(python=sys.executable, here=str(HERE), kind=code), encoding="utf-8")
    program.chmod(0o755)
    path = recording("a.wav")
    done = subprocess.run([program, path], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert expected in done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="no such file on Windows")  # noqa: PTH110
@pytest.mark.parametrize("suffix", ["wav", "m4a"])
def test_standard_input_that_is_a_file_is_read(recording, tmp_path, suffix):
    path = recording("a.wav")
    if suffix == "m4a":
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-c:a", "alac", tmp_path / "a.m4a"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        path = tmp_path / "a.m4a"
    code = "from deepfake_audio.sound.reading import read_audio; print(len(read_audio('/dev/stdin')))"
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, text=True, cwd=HERE, timeout=60
        )
    assert done.stdout.strip() == str(len(SOUND)), done.stderr


def test_who_wants_no_more_gets_no_more(recording, monkeypatch):
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 100)
    with decoders.Recording(recording("a.wav")) as half_read:
        blocks = half_read.blocks()
        first = next(blocks)
        decoder = half_read._decoder
    assert len(first) and decoder.poll() is not None and decoder not in decoders._idle


def test_stopping_ends_a_reader_at_once(recording):
    path = recording("a.wav")
    soundfile.write(path, np.tile(SOUND, 10), SAMPLE_RATE)  # more than a pipe holds
    with decoders.Recording(path) as sound:
        decoders.stop()
        with pytest.raises(decoders.DecoderLost):
            list(sound.blocks()) and list(sound.blocks())
    assert not decoders._busy and not decoders._idle


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_asks_decoders_of_its_own(recording):
    path = recording("a.wav")
    read_audio(path)
    child = os.fork()
    if not child:
        os._exit(0 if len(read_audio(path)) == len(SOUND) and decoders._idle else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(read_audio(path)) == len(SOUND)


@pytest.mark.skipif(sys.platform == "win32", reason="asks /bin/ps")
def test_decoders_end_with_us_however_we_end(recording):
    code = (
        "import os, sys; from deepfake_audio.sound import decoders, reading;"
        "reading.read_audio(sys.argv[1]); print(next(iter(decoders._idle)).pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(recording("a.wav"))],
        capture_output=True, text=True, cwd=HERE, timeout=60,
    )  # fmt: skip
    pid = int(done.stdout)
    deadline = time.monotonic() + 10.0
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(pid), "the decoder outlived us"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
