"""Features and answers from a Dask cluster: a scheduler and two workers on this machine, one of which is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from commands import ENVIRONMENT, HERE, JUDGE, TRAIN, python

from deepfake_audio import work
from deepfake_audio.answers.find import find_recordings
from deepfake_audio.errors import RunError
from deepfake_audio.examples.example import Example
from deepfake_audio.examples.features import extract_features
from deepfake_audio.features import store
from deepfake_audio.judging import many
from deepfake_audio.model.export import export_checkpoint
from deepfake_audio.sound.reading import write_flac

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="Dask is not installed: pip install distributed"
)
SETTINGS = tiny.settings()


def start(*arguments, cwd=HERE):
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=cwd, env=ENVIRONMENT)


def wait_for(what, seconds=300):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "Dask did not start"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Start a scheduler without workers; return its address."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    process = start("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    try:
        wait_for(lambda: file.is_file() and file.stat().st_size)
        yield json.loads(file.read_text(encoding="utf-8"))["address"]
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def working(scheduler, count, scratch, cwd=HERE):
    """Start workers of one thread each."""
    from dask.distributed import Client

    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", scratch)
    processes = [start("worker", scheduler, *options, cwd=cwd) for _ in range(count)]
    try:
        with Client(scheduler, set_as_default=False) as client:
            wait_for(lambda: len(client.ncores()) == count)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def workers(scheduler, tmp_path):
    """Start two workers."""
    with working(scheduler, 2, tmp_path / "scratch") as processes:
        yield processes


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(3)
    paths = [tmp_path / "clips" / f"{number}.flac" for number in range(90)]
    for path in paths:
        write_flac(path, tiny.voice("Real", 0.5 + 0.5 * rng.random(), rng))
    return [Example(path.name, path, "Real", "real", "group") for path in paths]


# What can be wrong with it


def test_without_an_address_everything_stays_here():
    with work.cluster(None):
        assert list(work.in_parallel(divmod, [(7, 2), (9, 4)], 2)) == [(3, 1), (2, 1)]


def test_how_far_it_is_can_be_shown(monkeypatch):
    shown = []
    monkeypatch.setattr(work, "progress", lambda label: lambda *counts: shown.append((label, *counts)))
    assert list(work.in_parallel(divmod, [(7, 2), (9, 4)], 2, "Dividing")) == [(3, 1), (2, 1)]
    assert shown == [("Dividing", 1, 2), ("Dividing", 2, 2)]


def test_the_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(RunError, match='pip install "distributed'), work.cluster("tcp://127.0.0.1:1"):
        pytest.fail("there is no cluster")


@needs_dask
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "no host at all"])
def test_a_scheduler_that_does_not_answer_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(work, "CONNECT_SECONDS", 1)
    with pytest.raises(RunError, match=f"No Dask scheduler answers at {address} ") as error, work.cluster(address):
        pytest.fail("there is no cluster")
    assert "\n" not in str(error.value)


@needs_dask
def test_a_scheduler_without_workers_is_one_sentence(scheduler):
    advice = f"has no workers; .*: python -m dask worker {scheduler}"
    with pytest.raises(RunError, match=advice), work.cluster(scheduler):
        pytest.fail("there is nobody to work")


@needs_dask
def test_workers_that_lack_the_project_are_one_sentence(scheduler, tmp_path):
    refused = pytest.raises(RunError, match="cannot use this project")
    with working(scheduler, 1, tmp_path, tmp_path), refused as error, work.cluster(scheduler):
        pytest.fail("it cannot work")
    assert "\n" not in str(error.value)


def test_a_wrong_address_stops_both_scripts_before_the_work(tone_corpus, tmp_path):
    model = tiny.save_untrained(tmp_path / "model.keras", SETTINGS).path
    outputs = tmp_path / "outputs"
    for command in (
        (TRAIN, "--data", tone_corpus, "--outputs", outputs),
        (JUDGE, tone_corpus, "--model", model),
    ):
        done = python(*command, "--dask", "nonsense://x")
        assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
        assert "error: " in done.stderr and "leave --dask out" in done.stderr
    assert not list(outputs.glob("run-*/hybrids"))


# What it does


@needs_dask
def test_features_are_those_of_this_machine_also_when_a_worker_is_killed(
    clips, scheduler, workers, tmp_path, monkeypatch
):
    broken = clips[7].path
    broken.write_bytes(b"not a sound")
    local = extract_features(clips, tmp_path / "here", SETTINGS.features)
    added, plain = [], store.FeatureCache.add

    def add(cache, key, values):
        added.append(key)
        return plain(cache, key, values)

    monkeypatch.setattr(store.FeatureCache, "add", add)

    def kill(done, wanted):
        if done == wanted // 3:
            workers[0].kill()

    with work.cluster(scheduler):
        remote = extract_features(clips, tmp_path / "there", SETTINGS.features, progress=kill)
    assert workers[0].wait(60) != 0 and workers[1].poll() is None
    assert len(added) == len(set(added)) == len(clips) - 1, "nothing lost, nothing done twice"
    assert list(remote.extents) == list(local.extents) and remote.failures == local.failures
    for name in local.extents:
        np.testing.assert_array_equal(remote.read(name), local.read(name))
        assert remote.extents[name][1:] == local.extents[name][1:]


@needs_dask
def test_nobody_left_to_work_is_one_sentence(clips, scheduler, workers, tmp_path, monkeypatch):
    with work.cluster(scheduler):  # until they have loaded what they need
        extract_features(clips[:4], tmp_path / "features", SETTINGS.features)
    monkeypatch.setattr(work, "ANSWER_SECONDS", 3.0)

    def kill(done, wanted):
        for process in workers:
            process.kill()

    sentence = r"The workers of .* do not answer any more; .* finished is kept"
    with pytest.raises(RunError, match=sentence), work.cluster(scheduler):
        extract_features(clips, tmp_path / "features", SETTINGS.features, progress=kill)
    assert extract_features(clips, tmp_path / "features", SETTINGS.features).failures == {}


@needs_dask
def test_recordings_are_judged_once_each_also_when_a_worker_is_killed(clips, scheduler, workers, tmp_path):
    from deepfake_audio.features.draw import Glimpse
    from deepfake_audio.judging.detector import Detector

    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    export_checkpoint(checkpoint)  # workers start fast
    (tmp_path / "clips" / "text.wav").write_text("no sound")
    found = find_recordings([str(tmp_path / "clips"), str(tmp_path / "missing*")])
    model, known = checkpoint.about(), found[4][0]

    def finished(path):
        return many.Answer(many.blank(path, None, model) | {"verdict": "Real"}, known=True) if path == known else None

    features = SETTINGS.features
    judge = many.Judge(
        checkpoint.path, None, "onnx", 2, model, Glimpse(features.sample_rate, features.hop_seconds, 1.0)
    )
    answers = []
    with work.cluster(scheduler):
        for answer in many.judge_on_cluster(found, judge, finished):
            answers.append(answer)
            if len(answers) == 20:
                workers[0].kill()
    detector = Detector(checkpoint)
    assert [answer.result["path"] for answer in answers] == [str(path) for path, _ in found]
    for answer, (path, error) in zip(answers, found, strict=True):
        if answer.known:
            assert path == known
            continue
        here = many.blank(path, error, model) if error else many.answer(path, detector, model).result
        for key in ("path", "verdict", "seconds", "sha256", "model", "error"):
            assert answer.result[key] == here[key]
        if not here["error"]:
            assert answer.result["probabilities"] == pytest.approx(here["probabilities"], abs=1e-3)
            assert len(answer.glimpse.mp3()) > 1000 and len(answer.glimpse.waveform()[0])
    assert sum(answer.known for answer in answers) == 1


@needs_dask
def test_both_scripts_on_a_cluster(tone_corpus, scheduler, workers, tmp_path):
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    export_checkpoint(checkpoint)
    model = checkpoint.path
    command = (JUDGE, tone_corpus / "real", "--model", model, "--json")
    here = [json.loads(line) for line in python(*command).stdout.splitlines()]
    files = ("--csv", tmp_path / "table.csv", "--report", tmp_path / "page.html")
    done = python(*command, *files, "--dask", scheduler)
    assert done.returncode == 0, done.stderr
    there = [json.loads(line) for line in done.stdout.splitlines()]
    keys = ("path", "verdict", "seconds", "sha256", "model")
    assert [[answer[key] for key in keys] for answer in there] == [[answer[key] for key in keys] for answer in here]
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("data:audio/mpeg") == len(here) == 20
    again = python(*command, *files[:2], "--dask", scheduler)
    assert again.stdout == "" and "20 of 20 recordings were already answered" in again.stderr

    options = ("--evaluate", model, "--data", tone_corpus, "--outputs", tmp_path / "outputs", "--dask", scheduler)
    done = python(TRAIN, *options)
    assert done.returncode == 0, done.stderr
    assert "Features of " in done.stderr and (tmp_path / "outputs" / "features" / store.FILE_NAME).is_file()
