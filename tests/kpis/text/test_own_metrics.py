"""Metrics that users bring for generated text: what they receive, and their intervals by prompt or group."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from torchmetrics.text import BLEUScore, CharErrorRate

from pytest_modelbench import TextData
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import summed_evidence
from pytest_modelbench.kpis.catalogue import find_kpi
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.probes.text.measured import Generations
from pytest_modelbench.results import Evidence

PROMPTS = [f"prompt {number}" for number in range(20)]
ONE = ["yes"] * 20
TWO = [["yes", "yes indeed"]] * 20
ANSWERS = {"student": [" yes"] * 15 + ["no"] * 5, "teacher": ["yes\n"] * 20}


@dataclass
class Asked:
    """Measurements of stated answers."""

    texts: TextData
    sent: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> TextData:
        """Return the prompts."""
        return self.texts

    def of(self, kind: object, role: str) -> Generations:
        """Return the answers of a role."""
        assert str(kind) == "generations"
        answers = tuple(
            Generation(start_ns=0, end_ns=1, pieces=(Piece(text=text, at_ns=1),)) for text in ANSWERS[role]
        )
        return Generations(
            model=role,
            answers=answers,
            ids=list(range(len(answers))),
            settings=self.texts.prompts.settings,
            sent=self.sent.get(role, {}),
        )


def evidence(
    metric: Any,
    references: Sequence[Any] | None,
    group: Sequence[str] | None = None,
    sent: Any = None,
    **more: Any,
) -> Evidence:
    """Return the evidence of a custom KPI."""
    kpi, options = find_kpi("own", {"metric": metric, "better": "higher", **more})
    question = Question(kpi=kpi, options={**kpi.options, **options}, with_teacher=True)
    asked: Any = Asked(TextData(PROMPTS, references, group=group, slices={"half": ["a", "b"] * 10}), sent or {})
    (only,) = evidence_for(question, asked)
    return only


def share(references: Sequence[Any], answers: Sequence[str]) -> float:
    """Return the share of answers that are among their references."""
    assert isinstance(references, list)
    assert isinstance(answers, list)
    return float(np.mean([answer in reference for answer, reference in zip(answers, references, strict=True)]))


class Mapped:
    """A metric with the interface of the library evaluate."""

    def compute(self, *, references: list[Any], predictions: list[str]) -> dict[str, float]:
        """Return two numbers."""
        return {"share": share(references, predictions), "n": float(len(predictions))}


@pytest.mark.parametrize(
    ("references", "form"), [(ONE, "a string"), (TWO, "a list of strings")], ids=["one reference", "several"]
)
@pytest.mark.parametrize("metric", [share, Mapped()], ids=["function", "compute"])
def test_metrics_receive_references_and_answers(metric: Any, references: list[Any], form: str) -> None:
    """References are strings where each prompt has one, and answers have no spaces around them."""
    read = evidence(metric, references, **({"key": "share"} if metric is not share else {}))
    assert read.teacher is not None
    assert (read.student.value, read.teacher.value) == (0.75, 1.0)
    assert f"receives {form} as the reference of each prompt" in read.student.method
    assert read.comparison is not None
    assert read.comparison.difference is not None
    assert read.comparison.difference.value == -0.25


def test_metrics_of_torchmetrics_are_fed_answers_first() -> None:
    """Those for text take predictions and targets."""
    assert evidence(CharErrorRate(), ONE).student.value == pytest.approx(15 / 60, abs=1e-6)
    assert evidence(BLEUScore(n_gram=1), TWO).student.value == pytest.approx(0.75, abs=1e-6)


def test_groups_are_resampled_as_a_whole() -> None:
    """The interval is of groups: wider where the answers of a group are alike."""
    group = [f"g{number // 5}" for number in range(20)]
    alone, grouped = evidence(share, ONE).student, evidence(share, ONE, group).student
    assert (alone.n, grouped.n) == (20, 4)
    assert grouped.estimate.low is not None
    assert alone.estimate.low is not None
    assert grouped.estimate.low < alone.estimate.low
    assert "resampled by group: 4 of 20 prompts" in grouped.method


def test_metrics_of_labels_do_not_fit() -> None:
    """A scorer of scikit-learn, scores and data without references say what to write."""
    with pytest.raises(DoesNotFit, match="scorer of scikit-learn, which is for labels, and the task is text"):
        evidence("f1", ONE)
    with pytest.raises(DoesNotFit, match="inputs= is stated, which is for labels"):
        evidence(share, ONE, inputs="labels")
    with pytest.raises(DoesNotFit, match="own needs references, and the evaluation data have none"):
        evidence(share, None)


def test_a_metric_that_fails_is_an_error_of_its_gate() -> None:
    """What it raises on the data is told; what it raises on a resample leaves that one out."""

    def failing(references: list[Any], answers: list[str]) -> float:
        raise ValueError("no such thing")

    with pytest.raises(MeasurementError, match="the metric of own raised ValueError: no such thing"):
        evidence(failing, ONE)
    with pytest.raises(MeasurementError, match="gave 'high', expected one number"):
        evidence(lambda references, answers: "high", ONE)


def test_sums_have_a_breakdown_by_slice() -> None:
    """A value that follows from sums is shown for the members of each slice; undefined ones are None."""
    kpi, _ = find_kpi("own", {"metric": share, "better": "higher"})
    data = TextData(PROMPTS, ONE, slices={"half": ["a"] * 15 + ["b"] * 5})
    hits = np.array([[float(text == " yes"), float(n < 15)] for n, text in enumerate(ANSWERS["student"])])

    def ratio(sums: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums[:, 0] / sums[:, 1]

    read = summed_evidence(Question(kpi=kpi), data, {"student": hits}, ratio, "hits")
    assert read.breakdown == (
        {"name": "half=a", "n": 15, "student": 1.0},
        {"name": "half=b", "n": 5, "student": None},
    )
    documents = summed_evidence(Question(kpi=kpi), data, {"student": hits}, ratio, "hits", group=PROMPTS)
    assert documents.breakdown == ()


def test_a_metric_that_gives_another_number_is_noted() -> None:
    """As a judging language model does: no interval over prompts covers that."""
    scores = itertools.cycle([0.5, 0.75])
    assert evidence(lambda references, answers: 0.5, ONE).notes == ()
    (note,) = evidence(lambda references, answers: next(scores), ONE).notes
    assert "the metric gave 0.5 and 0.75 for the same answers" in note


def test_other_requests_are_noted() -> None:
    """As for the KPIs of quality."""
    sent = {"student": {"temperature": 0}, "teacher": {"temperature": 0.7}}
    (note,) = evidence(share, ONE, sent=sent).notes
    assert note == "student and teacher got different requests: temperature is 0 and 0.7"
