"""Many recordings at once, with a detector that only pretends."""

import threading
import time

from pretender import MODEL, Pretender, recording

from deepfake_audio.files import file_sha256
from deepfake_audio.judging import many


def test_errors_are_answers(tmp_path):
    for name, wanted in (("broken.wav", "mend it"), ("locked.wav", "Permission denied")):
        answer = many.answer(recording(tmp_path / name), Pretender(), MODEL).result
        assert tuple(answer) == many.RESULT_KEYS and wanted in answer["error"]
        assert answer["verdict"] is None and answer["segments"] == []
    good = many.answer(recording(tmp_path / "good.wav"), Pretender(), MODEL).result
    assert tuple(good) == many.RESULT_KEYS and good["error"] is None
    assert good["sha256"] == file_sha256(tmp_path / "good.wav") and good["model"] == MODEL


def test_answers_come_in_order_whoever_is_done_first(tmp_path):
    found = [(tmp_path / f"{number}.wav", None) for number in range(20)] + [(tmp_path / "x", "no such thing")]
    threads = set()

    def judge(path):
        time.sleep(0.02 if path.stem == "0" else 0.001)
        threads.add(threading.get_ident())
        return many.Answer({"path": str(path), "error": None})

    answers = [answer.result for answer in many.answer_all(found, judge, MODEL, jobs=3)]
    assert [answer["path"] for answer in answers] == [str(path) for path, _ in found]
    assert answers[-1]["error"] == "no such thing" and 1 < len(threads) <= 3


def test_nothing_more_is_begun_when_nobody_listens(tmp_path):
    begun = []

    def judge(path):
        begun.append(path)
        time.sleep(0.01)
        return many.Answer({"path": str(path)})

    answers = many.answer_all([(tmp_path / str(number), None) for number in range(100)], judge, MODEL, jobs=1)
    next(answers)
    answers.close()
    time.sleep(0.05)
    assert len(begun) <= 3
