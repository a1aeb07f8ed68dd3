"""Pictures are made without a display, whatever a run leaves behind, and show what they should."""

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from test_metrics import clip, pool

from deepfake_audio.evaluation import plots
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.features.axes import FAKE_COLOUR, REAL_COLOUR
from deepfake_audio.training.callbacks import MACRO_F1, MONITOR


def log_mel(frames=300, bands=80, seed=0):
    rng = np.random.default_rng(seed)
    return -60 + 20 * rng.random((frames, bands)) + 30 * np.linspace(1, 0, bands)


def colour_pixels(path, colour, tolerance=0.03):
    """Number of pixels of about one colour."""
    wanted = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    return int(np.sum(np.all(np.abs(imread(path)[..., :3] - wanted) < tolerance, axis=-1)))


@pytest.fixture
def kept(monkeypatch):
    """The figures that are saved, for a look at their axes."""
    figures = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (figures.append(figure), save(figure, path)))
    return figures


def test_learning_curves(tmp_path, kept):
    log, out = tmp_path / "log.csv", tmp_path / "curves.png"
    log.write_text(
        f"epoch,learning_rate,loss,val_loss,{MACRO_F1},{MONITOR},val_verdict_accuracy,verdict_accuracy\n"
        "0,0.001,1.1,1.2,0.3,0.1,0.4,0.35\n1,0.001,0.8,0.9,0.5,0.2,0.6,0.55\n2,0.0005,0.7,0.8,,,0.65,0.6\n",
        encoding="utf-8",
    )
    plots.plot_learning_curves(log, out)
    loss, accuracy = kept[0].axes
    assert [line.get_label() for line in loss.lines[:2]] == ["training", "validation"]
    assert loss.lines[1].get_ydata().tolist() == [1.2, 0.9, 0.8]
    assert loss.lines[1].get_xdata().tolist() == [1, 2, 3]
    assert [line.get_label() for line in accuracy.lines][2] == "validation, macro F1"
    assert loss.lines[2].get_label() == "epoch 2, kept: best smoothed macro F1" and loss.lines[2].get_xdata() == [2, 2]
    assert loss.get_ylabel() and accuracy.get_ylabel()
    assert out.is_file()


def test_confusion_matrix(tmp_path, kept):
    metrics = evaluate(pool(), resamples=0)
    plots.plot_confusion_matrix(metrics, tmp_path / "confusion.png")
    texts = [text.get_text().split("\n")[0] for text in kept[0].axes[0].texts]
    assert texts == [str(count) for row in metrics["confusion"] for count in row]


def test_det_marks_the_equal_error_rate(tmp_path, kept):
    scores = pool()
    plots.plot_det(scores, tmp_path / "det.png")
    rate = evaluate(scores, resamples=0)["eer"]["value"]
    assert kept[0].axes[0].texts[0].get_text() == f"EER {100 * rate:.1f} %"


@pytest.mark.parametrize("kinds", [["real"], ["hybrid"], ["real", "fake"]])
def test_small_and_one_sided_tests_are_drawn(tmp_path, kinds):
    scores = [clip(kind) for kind in kinds]
    plots.plot_det(scores, tmp_path / "det.png")
    plots.plot_reliability(scores, tmp_path / "reliability.png")
    plots.plot_confusion_matrix(evaluate(scores, resamples=0), tmp_path / "confusion.png")
    assert len(list(tmp_path.iterdir())) == 3


def test_reliability(tmp_path, kept):
    plots.plot_reliability([clip(), clip("fake", probabilities=(0.6, 0.2, 0.2))], tmp_path / "reliability.png")
    assert kept[0].axes[0].lines[1].get_xydata() == pytest.approx(np.array([[0.6, 0], [0.8, 1]]))
    assert [bar.get_height() for bar in kept[0].axes[1].patches] == [1, 1]
    assert [text.get_text() for text in kept[0].axes[1].texts] == ["1", "1"]


def test_reliability_names_the_calibration_error(tmp_path, kept):
    scores = pool()
    plots.plot_reliability(scores, tmp_path / "reliability.png")
    assert f"(ECE) {100 * evaluate(scores, resamples=0)['ece']['value']:.1f} %" in kept[0].axes[0].get_title()


def timeline(path, true_spans=((1.0, 2.0),), predicted_spans=((1.1, 2.0),), title="clip.wav: Hybrid", **changes):
    probabilities = np.where((np.arange(150) >= 55) & (np.arange(150) < 100), 0.9, 0.1)
    spans = {"truth": true_spans, "detector": predicted_spans}
    bars = {name: [(*span, "Fake") for span in found] for name, found in spans.items() if found is not None}
    frames = changes.get("frame_probabilities", probabilities), 0.02
    plots.plot_timeline((log_mel(), 0.01), frames, bars, 3.0, title, path, 8000, 0.5)


def test_timeline(tmp_path, kept):
    timeline(tmp_path / "timeline.png")
    lower, upper, middle = (axes for axes in kept[0].axes if "dB" not in axes.get_ylabel())
    assert upper.get_xlim() == middle.get_xlim() == lower.get_xlim() == (0, 3)
    assert [label.get_text() for label in lower.get_yticklabels()] == ["detector", "truth"]
    assert [label.get_text() for label in upper.get_yticklabels()] == ["0.25", "0.5", "1", "2", "4", "8"]
    # On the same time axis means in the same columns of pixels.
    assert upper.get_position().x0 == pytest.approx(lower.get_position().x0)
    assert upper.get_position().x1 == pytest.approx(lower.get_position().x1)
    assert imread(tmp_path / "timeline.png").shape[1] == 1000


def test_timeline_shows_spans_as_areas_of_their_colours(tmp_path):
    timeline(tmp_path / "none.png", (), (), frame_probabilities=[0.1] * 150)
    timeline(tmp_path / "some.png")
    assert colour_pixels(tmp_path / "some.png", FAKE_COLOUR) > colour_pixels(tmp_path / "none.png", FAKE_COLOUR) + 2000
    assert colour_pixels(tmp_path / "some.png", REAL_COLOUR) < colour_pixels(tmp_path / "none.png", REAL_COLOUR)


def test_timeline_without_truth_or_frames(tmp_path, kept):
    timeline(tmp_path / "timeline.png", true_spans=None, frame_probabilities=(), title="cost $5 and $x_{.wav" * 9)
    assert [label.get_text() for label in kept[0].axes[0].get_yticklabels()] == ["detector"]


def test_a_long_title_keeps_both_ends(tmp_path, kept):
    timeline(tmp_path / "timeline.png", title="W" * 200 + ": Hybrid")
    title = kept[0].axes[1].get_title(loc="left")
    assert title.startswith("WWW") and title.endswith("WWW: Hybrid") and len(title) == 74


def test_a_long_name_keeps_both_ends_and_its_verdict_whole(tmp_path, kept):
    verdict = ": Real, judged Uncertain (0.43)"
    timeline(tmp_path / "timeline.png", title="first" + "W" * 200 + "last.flac" + verdict)
    title = kept[0].axes[1].get_title(loc="left")
    assert title.startswith("first") and title.endswith("last.flac" + verdict) and len(title) == 74


def test_mel_samples(tmp_path, kept):
    samples = [
        (name, log_mel(seed=seed), 0.01, spans)
        for seed, (name, spans) in enumerate({"Real": (), "Fake": ((0, 3.0),), "Hybrid": ((1.0, 2.0),)}.items())
    ]
    plots.plot_mel_samples(samples, tmp_path / "new" / "samples.png")
    assert [axes.get_title() for axes in kept[0].axes[:3]] == ["Real", "Fake", "Hybrid"]
    assert [len(axes.lines) for axes in kept[0].axes[3:6]] == [0, 0, 2]  # the rim of a clip is no boundary
    assert (tmp_path / "new" / "samples.png").is_file()


def test_a_crash_leaves_the_old_picture(tmp_path, monkeypatch):
    out = tmp_path / "timeline.png"
    out.write_bytes(b"old")

    def crash(figure, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", crash)
    with pytest.raises(OSError, match="disk full"):
        timeline(out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_picture_needs_no_display(tmp_path):
    code = (
        "import sys\nfrom deepfake_audio.evaluation import plots\nfrom test_metrics import clip\n"
        f"plots.plot_reliability([clip()], {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'saving needs no pyplot'\n"
    )
    environment = dict(os.environ, MPLBACKEND="agg", PYTHONPATH=os.pathsep.join(sys.path))
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
