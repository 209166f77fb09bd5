"""Metrics of one's own: scorers of scikit-learn, torchmetrics, Hugging Face evaluate, callables; and their faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import torchmetrics
from datasets import Features, Value
from sklearn import metrics
from suites import Judge
from tables import GUESS, STUDENT, TARGETS, FixedSources, evidence

from pytest_modelbench import EvalData, MeasurementError
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.settings import Settings


def value(metric: Any, **keywords: Any) -> float:
    better = {} if isinstance(metric, str) else {"better": "higher"}
    student = keywords.pop("student", STUDENT)
    found = evidence("mine", student=student, teacher=student, metric=metric, **{**better, **keywords})
    return found.student.value


def test_scorer_by_name() -> None:
    """From labels, probabilities and decision values: what scikit-learn computes by itself."""
    exp = np.exp(STUDENT - STUDENT.max(axis=1, keepdims=True))
    chances = exp / exp.sum(axis=1, keepdims=True)
    assert value("f1_weighted") == pytest.approx(metrics.f1_score(TARGETS, GUESS, average="weighted"))
    assert value("neg_log_loss") == pytest.approx(-metrics.log_loss(TARGETS, chances), rel=1e-5)
    assert value("roc_auc_ovr") == pytest.approx(metrics.roc_auc_score(TARGETS, chances, multi_class="ovr"))


def test_scorer_of_a_regression() -> None:
    """Values are the predictions."""
    truth = np.linspace(0, 1, 50)
    guess = truth + np.sin(np.arange(50)) / 10
    found = evidence("mine", student=guess, teacher=guess, targets=truth, metric="neg_mean_absolute_error")
    assert found.student.value == pytest.approx(-metrics.mean_absolute_error(truth, guess))


def test_torchmetrics() -> None:
    """Objects that are updated and computed get scores where there are any, and are reset before."""
    classes = STUDENT.shape[1]
    accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=classes, average="micro")
    assert value(accuracy) == pytest.approx(metrics.accuracy_score(TARGETS, GUESS), abs=1e-6)
    top5 = torchmetrics.Accuracy(task="multiclass", num_classes=classes, average="micro", top_k=5)
    assert value(top5) == pytest.approx(metrics.top_k_accuracy_score(TARGETS, STUDENT, k=5), abs=1e-6)


def test_torchmetrics_of_binary_logits() -> None:
    """Logits become probabilities first: one of two columns, or values between 0 and 1, would be misread."""
    targets = np.arange(40) % 2
    accuracy = torchmetrics.classification.BinaryAccuracy()
    columns = np.stack([np.full(40, 5.0), 5.0 + np.where(targets, 1.0, -1.0)], axis=1)
    single = np.where(targets, 0.4, -0.1)
    assert binary(columns, targets, accuracy) == binary(single, targets, accuracy) == 1.0
    assert binary(columns[:, ::-1], targets, accuracy) == binary(0.3 - single, targets, accuracy) == 0.0


def binary(student: Any, targets: Any, metric: Any) -> float:
    data = EvalData(np.arange(40.0).reshape(-1, 1), targets, task="binary", outputs="logits")
    gate = assigned(read_gate(("mine",), {"metric": metric, "better": "higher"}))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    result, judgement = BenchSession().judge(plan, gate, FixedSources(student, student, data))
    assert judgement is not None, result.reason
    return judgement.evidence.student.value


class Match(evaluate.Metric):  # type: ignore[misc]
    """A metric of Hugging Face's library, defined here, since no hub is asked."""

    def _info(self) -> Any:
        features = Features({"predictions": Value("int64"), "references": Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        right = float(np.mean(np.asarray(predictions) == np.asarray(references)))
        return {"match": right, "miss": 1 - right}


def test_evaluate_module(tmp_path: Path) -> None:
    """`key=` picks an entry of the answer; without it, the KPI's own name does."""
    metric = Match(cache_dir=str(tmp_path))
    expected = metrics.accuracy_score(TARGETS, GUESS)
    assert value(metric, key="match") == pytest.approx(expected)
    found = evidence("miss", student=STUDENT, teacher=STUDENT, metric=metric, better="lower")
    assert found.student.value == pytest.approx(1 - expected)
    with pytest.raises(MeasurementError, match="has several entries: 'match', 'miss'. Write key="):
        value(metric)
    with pytest.raises(MeasurementError, match="has no entry 'hit': 'match', 'miss'"):
        value(metric, key="hit")


def test_mapping_with_one_entry_needs_no_key() -> None:
    """As most metrics of `evaluate` answer."""
    assert value(lambda targets, predictions: {"score": 0.5}) == 0.5


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (lambda t, p: 1 / 0, "the metric of mine raised ZeroDivisionError: division by zero"),
        (lambda t, p: "high", "the metric of mine gave 'high', expected one number"),
        (lambda t, p: [1, 2], r"the metric of mine gave \[1, 2\], expected one number"),
        (lambda t, p: {}, "has several entries|has no entry"),
        (lambda t, p: float("nan"), "mine of student is nan"),
    ],
)
def test_metric_that_fails_is_an_error_of_the_gate(metric: Any, words: str) -> None:
    """With the KPI's name and what was found."""
    with pytest.raises(MeasurementError, match=words):
        value(metric)


def test_metric_that_is_undefined_on_some_resamples_keeps_its_interval() -> None:
    """As scikit-learn's are when a class is missing."""

    def fussy(targets: Any, predictions: Any) -> float:
        if (
            targets[0] == 3
            and len(np.unique(targets)) > 1
            and np.random.default_rng(int(targets.sum())).random() < 0.5
        ):
            raise ValueError("not with me")
        return float((targets == predictions).mean())

    estimate = evidence("mine", student=STUDENT, teacher=STUDENT, metric=fussy, better="higher").student.estimate
    assert estimate.low is not None
    assert estimate.low < estimate.value


def test_what_a_metric_needs_and_does_not_get() -> None:
    """Scores of a model that gives labels; targets that are not there; classes that do not count from 0."""
    with pytest.raises(MeasurementError, match="student gives labels, and the scorer needs scores"):
        value("neg_log_loss", student=GUESS)
    with pytest.raises(MeasurementError, match="mine needs targets"):
        evidence("mine", student=STUDENT, teacher=STUDENT, targets=None, metric="accuracy")


def test_several_thresholds_on_one_metric(judge: Judge) -> None:
    """An absolute one, a relative one, points: each has its verdict; the metric is resampled once for all of them."""
    finished = judge(
        """
        import pytest
        CALLS = []
        def right(targets, predictions):
            CALLS.append(1)
            return float((targets == predictions).mean())

        @pytest.mark.kpi("right", ">= 0.9", "drop <= 0.5%", "difference >= -0.02", metric=right, better="higher")
        def test_right(): ...

        def test_calls(): assert len(CALLS) <= 2 * 1000 + 1
        """
    )
    assert [limit["verdict"] for limit in finished.gate("right")["limits"]] == ["pass", "fail", "pass"]
    finished.result.assert_outcomes(passed=1, failed=1)


def _mean_rank(targets: Any, predictions: Any) -> float:
    """Return a ranking metric, which labels cannot give: the mean score of what holds above what does not."""
    return float((predictions * targets).sum(axis=1).mean())


def test_multilabel_metric_says_whether_it_takes_labels_or_scores() -> None:
    """A callable on a multilabel task is asked for inputs=; the reading states what it received."""
    truth = (np.arange(60).reshape(-1, 1) % np.array([2, 3, 5]) == 0).astype(int)
    scores = np.where(truth == 1, 0.9, 0.2)
    data = {"task": "multilabel", "outputs": "probabilities"}

    def found(**options: Any) -> Any:
        return evidence(
            "rank", ">= 0", student=scores, teacher=scores, targets=truth, data=data,
            metric=_mean_rank, better="higher", **options,
        ).student  # fmt: skip

    with pytest.raises(MeasurementError, match="Write inputs='labels' or inputs='scores'"):
        found()
    assert found(inputs="labels").value == pytest.approx(truth.sum(axis=1).mean())
    assert found(inputs="scores").value == pytest.approx(0.9 * truth.sum(axis=1).mean())
    assert "the metric receives scores" in found(inputs="scores").method


def test_scores_of_a_model_without_scores_are_refused() -> None:
    """A model that returns labels cannot give the scores that a marker asks for."""
    labels = np.arange(60) % 3
    with pytest.raises(MeasurementError, match="asks for inputs='scores', and student returns labels"):
        evidence(
            "rank", ">= 0", student=labels, teacher=labels, targets=labels, metric=_mean_rank, better="higher",
            inputs="scores",
        )  # fmt: skip


WORDS = np.where(np.arange(200) % 3 == 0, "spam", "ham")
SAID = np.where(np.arange(200) % 7 == 0, "ham", WORDS)


@pytest.mark.parametrize("positive", ["spam", "ham"])
def test_positive_class_of_a_scorer(positive: str) -> None:
    """Scorers of two classes look for 1, and classes have names: `positive=` says which one is looked for."""
    found = value("f1", student=SAID, targets=WORDS, positive=positive)
    assert found == pytest.approx(metrics.f1_score(WORDS, SAID, pos_label=positive))
    scores = np.random.default_rng(0).normal(size=200) + (WORDS == "spam")
    outputs = np.stack([-scores, scores], axis=1) / 2
    found = value(
        "average_precision", student=outputs, targets=WORDS, positive=positive, data={"classes": ["ham", "spam"]}
    )
    sign = 1 if positive == "spam" else -1
    assert found == pytest.approx(metrics.average_precision_score(positive == WORDS, sign * scores))


def test_positive_class_that_is_not_said_or_not_there() -> None:
    """The message names the option, or the classes."""
    with pytest.raises(MeasurementError, match="pos_label=1 is not a valid label.*Write positive= to name the class"):
        value("f1", student=SAID, targets=WORDS)
    with pytest.raises(MeasurementError, match="positive='eggs' is none of the classes ham, spam"):
        value("f1", student=SAID, targets=WORDS, positive="eggs")


@pytest.mark.parametrize(("slow_calls", "resampled"), [(1, True), (10_000, False)], ids=["first call", "every call"])
def test_the_second_call_decides_whether_a_metric_is_too_slow(
    slow_calls: int, resampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one may import a library, and says nothing of the others."""
    now, calls = [0.0], [0]
    monkeypatch.setattr("pytest_modelbench.kpis.resampling.time.perf_counter", lambda: now[0])

    def metric(targets: Any, predictions: Any) -> float:
        calls[0] += 1
        now[0] += 0.5 if calls[0] <= slow_calls else 0.0001
        return float((targets == predictions).mean())

    found = evidence("mine", student=STUDENT, metric=metric, better="higher").student
    assert (found.estimate.low is not None) is resampled
    assert ("too slow to resample" in found.method) is not resampled
