"""Folds and the network that is shipped with their figures: a small corpus, trained as the card says."""

import json
import re
import shlex

import numpy as np
import pytest
import tiny
from commands import HERE, TRAIN, python

from deepfake_audio.corpus.recognise import find_clips
from deepfake_audio.evaluation.scores import read_scores
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.options import differences
from deepfake_audio.sound.reading import write_flac


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Make six pages with two clips of either class each; a hybrid, and a clip that two pages show."""
    folder, rng = tmp_path_factory.mktemp("corpus") / "pages", np.random.default_rng(0)
    rows = ["path,label,generator,source"]
    for page in range(6):
        for label in ("Real", "Fake"):
            for number in range(2):
                path = f"{label.lower()}/{page}-{number}.flac"
                write_flac(folder / path, tiny.voice(label, 1.0 + 0.1 * page, rng))
                rows.append(f"{path},{label},{'engine' if label == 'Fake' else ''},page {page}")
    write_flac(folder / "hybrid.flac", tiny.voice("Hybrid", 1.0, rng))
    rows.append("hybrid.flac,hybrid,engine,page 0")
    (folder / "clips.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_folds_are_judged_and_a_network_is_shipped_that_its_card_can_train_again(corpus, tmp_path):
    some = tiny.settings(epochs=1, windows_per_epoch=32)
    typed = [word for change in differences(some) for word in ("--set", change)]
    asked = ["--data", corpus, "--folds", 2, "--ship", tmp_path / "shipped", *typed]
    done = python(TRAIN, *asked, "--outputs", tmp_path / "outputs", cwd=HERE)
    assert done.returncode == 0, done.stderr
    (home,) = (tmp_path / "outputs").glob("folds-*")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| fold | EER Real/Fake") and lines[4].startswith("| mean |")
    assert lines[5:] == [str(home / "fold-1"), str(home / "fold-2"), str(tmp_path / "shipped")]

    # Every clip of the corpus is tested by one of the folds, and the shipped scores are those of both.
    shipped = tmp_path / "shipped"
    names = {path.name for path in shipped.iterdir()}
    assert names == {*("model.keras", "settings.json", "scores.csv.gz", "metrics.json", "MODEL_CARD.md")}
    scores = read_scores(shipped / "scores.csv.gz")
    own = [score.path for score in scores if score.path.startswith("pages/")]
    assert len(own) == len(set(own)) == 25 and not any(score.frame_probabilities for score in scores)
    metrics = json.loads((shipped / "metrics.json").read_text(encoding="utf-8"))
    assert sum(metrics["clips"].values()) == len(scores) and metrics["frame_eer_20ms"]["value"] is not None
    checkpoint = read_checkpoint(shipped / "model.keras")
    unseen = [clip.name for clip in checkpoint.unseen(find_clips([corpus]))]
    assert unseen == ["pages/hybrid.flac"], "hybrids by others never train"
    assert differences(checkpoint.settings, some) == []

    # The command of the card is the one that was run.
    card = (shipped / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Of 2 networks" in card and "- page 3" in card and "the 1 hybrid by others" in card
    command = re.search(r"```console\npython CNNRNNLSTM.py (.*)\n```", card)[1]
    assert shlex.split(command) == [*map(str, asked)]


def test_folds_of_too_few_sources_and_a_table_without_its_files_are_one_sentence(corpus, tmp_path):
    done = python(TRAIN, "--data", corpus, "--folds", 7, "--outputs", tmp_path / "outputs")
    assert done.returncode == 1 and "names 6 sources, too few for 7 folds" in done.stderr.splitlines()[-1]
    half = tmp_path / "half"
    half.mkdir()
    (half / "clips.csv").write_bytes((corpus / "clips.csv").read_bytes())
    done = python(TRAIN, "--data", half, "--folds", 2, "--outputs", tmp_path / "outputs")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 1 and len(errors) == 1 and "there is no file" in errors[0]
