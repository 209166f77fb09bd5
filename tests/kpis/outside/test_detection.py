"""Detection of samples out of distribution: references, signs, ties, and sets that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from attacked_models import digits, plain
from sklearn.metrics import roc_auc_score
from suites import Judge

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.outside import MADE, sets_outside
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.kpis.outside.detection import Apart
from pytest_modelbench.stats.accepted import accepted

Array = npt.NDArray[Any]
SUITE = """
import pytest
@pytest.mark.kpi("ood_auroc", {limits}{more})
@pytest.mark.kpi("ood_fpr95", "<= 90%"{more})
def test_gate(): ...
"""
MODELS = """
import pytest
import numpy as np
import torch
from torch import nn
from attacked_models import Through, digits, plain
from pytest_modelbench import EvalData

INPUTS, LABELS = digits()


@pytest.fixture(scope="session")
def teacher_model():
    return plain(16)


@pytest.fixture(scope="session")
def student_model():
    return STUDENT


@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS[1200:], LABELS[1200:], ood=OOD)


def inverted():
    return 1 - INPUTS[1200:]
"""


def models(
    student: str = "plain()", ood: str = "{'inverted': 1 - INPUTS[1200:], 'dark': 0.3 * INPUTS[1200:]}"
) -> str:
    """Return a conftest.py with a student and sets outside of the data."""
    return MODELS.replace("STUDENT", student).replace("OOD", ood)


def test_areas_are_those_of_scikit_learn() -> None:
    """Ties count by half; inside is the positive kind."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 200).round(1)
    area, _ = Apart(inside, outside).area
    assert area == pytest.approx(roc_auc_score([1] * 300 + [0] * 200, np.concatenate([inside, outside])), abs=1e-12)


def test_the_threshold_accepts_at_least_the_stated_share() -> None:
    """By hand: of 20 samples 95% are 19, so that the second smallest is the threshold; equal ones are accepted."""
    inside = np.arange(20.0)
    assert accepted(inside, np.array([0.5, 1.0, 1.5, 30.0]), 95) == 0.75
    assert accepted(inside, np.array([-1.0, 0.0]), 100) == 0.5


def test_gates(judge: Judge) -> None:
    """The worst of both sets is judged, each with its row; the teacher is compared on the same samples."""
    finished = judge(SUITE.format(limits="'>= 50%', 'drop <= 30 pp'", more=""), fakes=models())
    gate = finished.gate("ood_auroc")
    assert gate["verdict"] == "pass", finished.text
    rows = {row["name"]: row for row in gate["breakdown"]}
    assert gate["readings"]["student"]["value"] == min(row["value"] for row in rows.values())
    assert set(rows) == {"inverted", "dark"}
    single = judge(SUITE.format(limits="'>= 50%'", more=", ood='inverted'"), fakes=models())
    assert single.gate("ood_auroc")["readings"]["student"]["value"] == pytest.approx(rows["inverted"]["value"])
    assert single.gate("ood_fpr95")["verdict"] in {"pass", "fail"}


@pytest.mark.parametrize("ood", ["'noise'", "'shuffled'", "'conftest:inverted'"])
def test_sets_that_are_made(judge: Judge, ood: str) -> None:
    """They need nothing of the data but its samples."""
    finished = judge(SUITE.format(limits="'>= 50%'", more=f", ood={ood}"), fakes=models(ood="None"))
    assert finished.gate("ood_auroc")["verdict"] == "pass", finished.text


def test_ties_at_one_do_not_count(judge: Judge) -> None:
    """Logits times 50 make most maximum probabilities exactly 1 in float32; their odds still differ."""
    plainly = judge(SUITE.format(limits="'>= 50%'", more=", ood='noise'"), fakes=models(ood="None"))
    scaled = judge(
        SUITE.format(limits="'>= 50%'", more=", ood='noise'"),
        fakes=models("Through(plain(), lambda net, inputs: 50 * net(inputs))", ood="None"),
    )
    before, after = (run.gate("ood_auroc")["readings"]["student"]["value"] for run in (plainly, scaled))
    assert after > before - 8  # odds of scaled logits are nearly the gap of the two largest
    assert after > 80


def test_scores_that_are_higher_outside_are_told(judge: Judge) -> None:
    """Below 50% the sign is not turned round."""
    student = "Through(plain(), lambda net, inputs: net(inputs) * (4 * inputs.mean((1, 2, 3), keepdim=True)[:, :, 0, 0]) ** 6)"
    finished = judge(
        SUITE.format(limits="'<= 60%', allow_reversed=True", more=", ood='inverted'"), fakes=models(student)
    )
    assert finished.gate("ood_auroc")["readings"]["student"]["value"] < 50, finished.text
    assert "more confident outside, of inverted, than inside" in str(finished.gate("ood_auroc"))


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("Through(plain(), lambda net, inputs: net(inputs).softmax(1))", "score='energy' is for one logit per class"),
        ("Through(plain(), lambda net, inputs: net(inputs).log_softmax(1))", "its outputs are log-probabilities"),
    ],
)
def test_energy_needs_logits(judge: Judge, student: str, words: str) -> None:
    """Probabilities and their logarithms have none."""
    finished = judge(
        SUITE.format(limits="'>= 50%'", more=", ood='noise', score='energy'"), fakes=models(student, ood="None")
    )
    assert words in finished.text


@pytest.mark.parametrize(
    ("ood", "asked", "words"),
    [
        (None, None, "nothing says what is out of distribution"),
        ({"far": np.zeros((3, 1, 9, 9), np.float32)}, None, "a sample of the set 'far' of ood= is"),
        ({"far": np.zeros((0, 1, 8, 8), np.float32)}, None, "the set 'far' of ood=: the evaluation data is empty"),
        ({"far": digits()[0][1190:1205]}, None, "5 samples of the set 'far' of ood= are samples of the data"),
        (None, "nois", "ood='nois' is unknown, expected one of 'noise', 'shuffled'"),
        (None, lambda: 1 / 0, "ood= raised ZeroDivisionError"),
    ],
)
def test_sets_that_do_not_fit(ood: Any, asked: Any, words: str) -> None:
    """Each is one message."""
    data = EvalData(digits()[0][1200:1400], digits()[1][1200:1400], ood=ood)
    with pytest.raises((DataError, DoesNotFit), match=words):
        sets_outside(data, asked, 0)


def test_bare_inputs_are_refused() -> None:
    """A set has a name."""
    with pytest.raises(DataError, match="ood is of type ndarray, expected a mapping of names to inputs"):
        EvalData(digits()[0], digits()[1], ood=digits()[0])  # type: ignore[arg-type]


def test_made_sets_need_numbers() -> None:
    """Texts have no noise of this kind."""
    with pytest.raises(DoesNotFit, match="made of one array of numbers"):
        sets_outside(EvalData(["a", "b"], [0, 1]), "noise", 0)


def test_made_sets_keep_what_they_say() -> None:
    """Noise fills each column's range, shuffled tables keep each column's values, shuffled images each image's."""
    rng = np.random.default_rng(0)
    table, images = rng.normal(size=(50, 3)) * [1, 10, 100], rng.normal(size=(20, 1, 4, 4))
    filled = MADE["noise"](table, rng)
    assert (filled >= table.min(axis=0)).all()
    assert (filled <= table.max(axis=0)).all()
    assert filled.std(axis=0)[2] > 20
    moved = MADE["shuffled"](table, rng)
    assert np.array_equal(np.sort(moved, axis=0), np.sort(table, axis=0))
    assert not np.array_equal(moved, table)
    apart = MADE["shuffled"](images, rng)
    assert np.array_equal(np.sort(apart.reshape(20, -1), axis=1), np.sort(images.reshape(20, -1), axis=1))
    assert plain() is plain()


def test_few_samples_of_the_data_bound_no_share(judge: Judge) -> None:
    """40 samples say little of the confidence that 95% reach: neither the share nor its difference has an upper end.

    Also if the teacher is the same model, whose resamples are all alike.
    """
    suite = "import pytest\n@pytest.mark.kpi('ood_fpr95', '<= 90%', 'difference <= 10 pp', ood='noise', confidence=0.95)\n"
    few = models("plain(16)", ood="None").replace(
        "INPUTS[1200:], LABELS[1200:],", "INPUTS[1200:1240], LABELS[1200:1240],"
    )
    gate = judge(f"{suite}def test_gate(): ...", fakes=few).gate("ood_fpr95")
    assert [limit["verdict"] for limit in gate["limits"]] == ["inconclusive", "inconclusive"]
    assert gate["readings"]["student"]["ci_high"] == 100
    difference = gate["limits"][1]
    assert (difference["value"], difference["ci_low"], difference["ci_high"]) == (0, -100, 100)
    told = "the data are too few to bound the confidence that 95% of them reach"
    assert any(note.startswith(told) for note in gate["notes"])


def test_samples_outside_are_no_samples_of_the_data() -> None:
    """Accuracy never sees them: batches have the data alone, and their key is the same."""
    inputs, labels = digits()[0][1200:1400], digits()[1][1200:1400]
    data = EvalData(inputs, labels, ood={"inverted": 1 - inputs})
    assert sum(len(batch.ids) for batch in data.batches()) == 200
    assert np.array_equal(np.concatenate([batch.inputs for batch in data.batches()]), inputs)
