"""Scores of tags equal seqeval's; notes, breakdowns and what is undefined."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE1, IOE2
from tag_tables import CLASSES, changed, random_tags, tag_evidence

from pytest_modelbench.errors import MeasurementError, UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.stats.design_effect import design_effect

SCORES = {"entity_f1": f1_score, "entity_precision": precision_score, "entity_recall": recall_score}
SCHEMES = {"IOB1": IOB1, "IOB2": IOB2, "IOE1": IOE1, "IOE2": IOE2, "IOBES": IOBES, "BILOU": BILOU}
RNG = np.random.default_rng(5)
TARGETS = random_tags(RNG, 40)
STUDENT = changed(RNG, TARGETS, 0.2)
HAND = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "B-PER"], ["O", "O", "O"]]


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("kpi", SCORES)
@pytest.mark.parametrize("strict", [False, True])
def test_scores_are_those_of_seqeval(kpi: str, average: str, strict: bool) -> None:
    """In its default mode and in its strict one."""
    mode = {"mode": "strict", "scheme": IOB2} if strict else {}
    expected = SCORES[kpi](TARGETS, STUDENT, average=average, **mode)
    judged = tag_evidence(
        kpi, ">= 1%", "drop <= 90 pp", student=STUDENT, targets=TARGETS, average=average, strict=strict
    )
    assert judged.student.value == pytest.approx(100 * expected)
    assert judged.teacher is not None
    assert judged.teacher.value == 100
    estimate = judged.student.estimate
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize("scheme", SCHEMES)
def test_strict_scores_of_each_scheme(scheme: str) -> None:
    """The scheme that the data state decides."""
    letters = {"IOB1": "IB", "IOB2": "IB", "IOE1": "IE", "IOE2": "IE", "IOBES": "IBES", "BILOU": "BILU"}[scheme]
    tags = ("O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC")))
    targets = random_tags(RNG, 30, tags)
    student = changed(RNG, targets, 0.1, tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = f1_score(targets, student, mode="strict", scheme=SCHEMES[scheme])
    data = {"scheme": scheme}
    judged = tag_evidence("entity_f1", ">= 1%", student=student, targets=targets, data=data, strict=True)
    assert judged.student.value == pytest.approx(100 * expected)


def test_scores_by_hand() -> None:
    """2 of 3 entities are found, and 1 of 3 predicted ones is wrong; worst sentences, types and broken tags."""
    student = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "O"], ["O", "O", "I-LOC"]]
    data = {"classes": CLASSES, "ids": ["a", "b", "c"], "slices": {"long": np.array([True, False, False])}}
    judged = tag_evidence("entity_f1", ">= 1%", "drop <= 90 pp", student=student, targets=HAND, data=data)
    assert judged.student.value == pytest.approx(100 * 2 / 3)
    rows = {row["name"]: row for row in judged.breakdown}
    assert rows["type PER"]["n"] == 2
    assert rows["type PER"]["student"] == pytest.approx(100 * 2 / 3)
    assert rows["type PER"]["teacher"] == 100
    assert rows["long"]["student"] == 100
    assert judged.worst_samples == ("b", "c")
    assert "1 of 3 entities of the student break IOB2" in " ".join(judged.notes)
    tokens = tag_evidence("token_accuracy", ">= 1%", student=student, targets=HAND, data=data)
    assert tokens.student.value == pytest.approx(80)
    assert {row["name"]: row["student"] for row in tokens.breakdown}["tag B-PER"] == 50
    assert tokens.worst_samples == ("b", "c")


def test_mostly_outside_is_noted() -> None:
    """A student that answers O nearly everywhere is as accurate as O is frequent; a good one gets no note."""
    targets = [["O"] * 9 + ["B-PER"]] * 10
    lazy = [["O"] * 10] * 9 + [targets[0]]
    judged = tag_evidence("token_accuracy", ">= 1%", student=lazy, targets=targets)
    assert "90.0% of the tokens are O: answering O everywhere gives 90.0%, and the student has 91.0%" in str(
        judged.notes
    )
    assert not tag_evidence("token_accuracy", ">= 1%", student=targets, targets=targets).notes


def test_groups_widen_the_interval() -> None:
    """Sentences of one document that err together are worth less than as many documents."""
    targets = [["B-PER", "O"]] * 200
    student = [["B-PER", "O"] if sentence // 10 % 2 else ["O", "O"] for sentence in range(200)]
    widths = []
    for group in (None, [sentence // 10 for sentence in range(200)]):
        judged = tag_evidence("entity_recall", ">= 1%", student=student, targets=targets, data={"group": group})
        estimate = judged.student.estimate
        assert estimate.low is not None
        assert estimate.high is not None
        widths.append(estimate.high - estimate.low)
    assert widths[1] > 2 * widths[0]
    assert "of 20 groups" in judged.student.method


def test_all_right_has_an_interval() -> None:
    """20 entities that are all right do not prove an F1 of 100%; equal models differ by less than Tango's interval."""
    targets = [["B-PER", "O"]] * 20
    judged = tag_evidence("entity_f1", ">= 1%", "drop <= 30 pp", student=targets, targets=targets, confidence=0.95)
    assert judged.student.estimate.low == pytest.approx(100 * 20 / (20 + 1.6449**2), abs=0.01)
    assert judged.comparison is not None
    assert judged.comparison.difference is not None
    assert judged.comparison.difference.low is not None
    assert -15 < judged.comparison.difference.low < 0


NOUNS = [["NOUN", "VERB"]] * 3


@pytest.mark.parametrize(
    ("kpi", "words", "message"),
    [
        ("entity_f1", {"student": NOUNS, "targets": NOUNS}, "the tag 'NOUN' is neither O nor begins with B-"),
        ("entity_f1", {"student": NOUNS, "targets": NOUNS, "data": {"scheme": None}}, "scheme=None says plain tags"),
        ("entity_f1", {"student": [[0, 1]], "targets": [[0, 1]]}, "there are numbers only. Write"),
        ("entity_f1", {"student": [["O"]], "targets": [["O"]]}, "no target has an entity, only O"),
        ("entity_precision", {"student": [["O"]], "targets": [["B-PER"]]}, "the student predicts no entity"),
        (
            "entity_f1",
            {"student": [["I-PER"]], "targets": [["I-PER"]], "strict": True},
            "strict=True needs the scheme, and the prefixes I fit several",
        ),
        (
            "entity_f1",
            {"student": [["S-PER"]], "targets": [["B-PER"]], "data": {"scheme": "IOB2"}},
            "the tag 'S-PER' is not of IOB2, whose prefixes are I, O, B",
        ),
        (
            "token_accuracy",
            {"student": [[0, 1]], "targets": [[0, 7]], "data": {"classes": ["O", "B-X"]}},
            "the target for the sample 0 has the label 7, and the classes are numbered 0 to 1",
        ),
        (
            "token_accuracy",
            {"student": [np.array([[np.nan, 1.0]])], "targets": [[0]]},
            "gives NaN or infinite outputs for tokens of 1 of 1 sentences (ids 0)",
        ),
        ("token_accuracy", {"student": [[0]], "targets": [[-100]]}, "no token counts: all have the label -100"),
    ],
)
def test_what_is_undefined(kpi: str, words: dict[str, Any], message: str) -> None:
    """Each has one message, and nothing becomes 0."""
    with pytest.raises(MeasurementError, match=re.escape(message)):
        tag_evidence(kpi, ">= 1%", **words)


def test_binary_average_is_refused_at_collection() -> None:
    """There are no two classes."""
    gate = read_gate(("entity_f1", ">= 90%"), {"average": "micro"})
    assert gate.options["average"] == "micro"
    with pytest.raises(UsageMistake, match="average='binary', expected one of micro, macro, weighted"):
        read_gate(("entity_f1", ">= 90%"), {"average": "binary"})


def test_the_design_effect_of_few_groups_is_that_of_an_estimate() -> None:
    """The variance between ten documents has nine degrees of freedom, and Student's quantile instead of the normal."""
    rng = np.random.default_rng(4)
    right = np.repeat(rng.random(10) < 0.5, 20)
    student = [["O" if good else "B-X"] * 3 for good in right]
    group = np.repeat(range(10), 20).tolist()
    made = tag_evidence(
        "token_accuracy", ">= 1%", student=student, targets=[["O"] * 3] * 200, data={"group": group}, confidence=0.95
    )
    hits = np.bincount(group, 3.0 * right)
    effect = design_effect(np.stack([hits, 60 - hits], axis=1)) * 10 / 9 * (t.ppf(0.95, 9) / norm.ppf(0.95)) ** 2
    assert effect > 60
    assert f"design effect {effect:.2f} of 10 groups" in made.student.method
