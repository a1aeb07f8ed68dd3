"""What a threshold costs."""

from test_metrics import clip

from deepfake_audio.evaluation.rates import expected_rates
from deepfake_audio.evaluation.scores import write_scores


def test_missed_fakes_and_false_alarms_are_counted_at_the_threshold(tmp_path):
    shares = {"real": (0.9, 0.7, 0.4, 0.8), "fake": (0.1, 0.65)}
    scores = [clip(kind, probabilities=(p, 1 - p, 0.0)) for kind, all_p in shares.items() for p in all_p]
    write_scores(tmp_path / "scores.csv.gz", scores, frames=False)
    said = expected_rates(tmp_path / "model.keras", 0.25)
    assert "0 % of 2 fake and hybrid" in said and "50 % of 4 real" in said
    said = expected_rates(tmp_path / "model.keras", 0.5)
    assert "50 % of 2 fake and hybrid" in said and "25 % of 4 real" in said


def test_without_scores_of_both_kinds_the_costs_are_not_known(tmp_path):
    assert "not known" in expected_rates(tmp_path / "model.keras", 0.5)
    write_scores(tmp_path / "scores.csv", [clip("real")])
    assert "not known" in expected_rates(tmp_path / "model.keras", 0.5)
    (tmp_path / "scores.csv").write_text("no scores", encoding="utf-8")
    assert "not known" in expected_rates(tmp_path / "model.keras", 0.5)
