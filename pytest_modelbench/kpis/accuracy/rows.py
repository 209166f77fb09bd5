"""The quality pillar: what the student gets right, alone and against its teacher."""

from __future__ import annotations

import math
from typing import Any

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import PREDICTIONS

_FORWARD = "one forward pass over the evaluation data"
_BOOTSTRAP = f"{_FORWARD}; paired bootstrap by sample"
_DELONG = f"{_FORWARD} of each model; placement values of all samples (DeLong)"
_TANGO = f"{_FORWARD}; Wilson interval, Tango's score interval for the paired difference"

_JUDGED = {"confidence": None, "allow_weak_teacher": False}
_AVERAGED = ("f1", "precision", "recall", "roc_auc")


def _scored(name: str, unit: str, better: str, definition: str, source: str, bounds: tuple[float, float]) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better=better,
        definition=definition,
        method=_DELONG if name == "roc_auc" else _BOOTSTRAP,
        source=source,
        probe=PREDICTIONS,
        derive=f"{ROOM}.accuracy.auc:roc_auc" if name == "roc_auc" else f"{ROOM}.accuracy.sums:summed",
        statistic=name,
        bounds=bounds,
        options={**({"average": "macro"} if name in _AVERAGED else {}), **_JUDGED},
    )


def _accuracy(k: int) -> Kpi:
    what = "the largest output" if k == 1 else f"among the {k} largest outputs"
    return Kpi(
        name=f"top{k}_accuracy",
        pillar="quality",
        unit="%",
        better="higher",
        definition=f"share of samples whose label is {what}",
        method=_TANGO,
        source="sklearn.metrics." + ("accuracy_score" if k == 1 else "top_k_accuracy_score")
        + "; Tango, Stat. Med. 17:891 (1998)",
        probe=PREDICTIONS,
        derive=f"{ROOM}.accuracy.shares:top{k}_accuracy",
        per_sample=True,
        bounds=SHARE,
        options=_JUDGED,
    )  # fmt: skip


def _pair(name: str, better: str, definition: str, source: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better=better,
        definition=definition,
        method=f"{_FORWARD} of each model; Wilson interval",
        source=source,
        probe=PREDICTIONS,
        derive=f"{ROOM}.{'fidelity.distances' if name == 'churn_among_wrong' else 'accuracy.shares'}:{name}",
        per_sample=True,
        bounds=SHARE,
        options={"confidence": None} if name == "agreement" else _JUDGED,
        paired=True,
    )


def _divergence(suffix: str, what: str) -> Kpi:
    return Kpi(
        name=f"kl_divergence{suffix}",
        pillar="quality",
        unit="nat",
        better="lower",
        definition=f"{what} over samples of the divergence of the student's probabilities from the teacher's",
        method=f"{_FORWARD} of each model, log-softmax in float32",
        source="Kullback and Leibler, Annals of Mathematical Statistics 22:79 (1951)",
        probe=PREDICTIONS,
        derive=f"{ROOM}.fidelity.distances:kl_divergence{suffix}",
        per_sample=True,
        options={} if suffix == "_max" else {"confidence": None},  # no sample bounds the largest of others
        paired=True,
    )


def _drop(name: str, derive: str, definition: str, options: dict[str, Any]) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="pp",
        better="lower",
        definition=definition,
        method=f"{_FORWARD} of each model; Tango's intervals at a common error",
        source="Tango, Stat. Med. 17:891 (1998); Holm, Scand. J. Stat. 6:65 (1979)",
        probe=PREDICTIONS,
        derive=derive,
        per_sample=True,
        bounds=(-100.0, 100.0),
        options={"min_n": 20, **options, **_JUDGED},
        paired=True,
    )


KPIS = (
    _accuracy(1),
    _accuracy(5),
    _scored(
        "f1", "%", "higher", "harmonic mean of precision and recall, macro-averaged unless average= selects another",
        "sklearn.metrics.f1_score", SHARE,
    ),
    _scored(
        "precision", "%", "higher", "share of predicted positives that are right, macro-averaged over classes",
        "sklearn.metrics.precision_score", SHARE,
    ),
    _scored(
        "recall", "%", "higher", "share of positives that are found, macro-averaged over classes",
        "sklearn.metrics.recall_score", SHARE,
    ),
    _scored(
        "balanced_accuracy", "%", "higher", "mean of the recalls of the classes that occur",
        "sklearn.metrics.balanced_accuracy_score", SHARE,
    ),
    _scored(
        "roc_auc", "%", "higher", "area under the ROC curve; several classes: one against the rest, averaged",
        "sklearn.metrics.roc_auc_score", SHARE,
    ),
    _scored(
        "log_loss", "", "lower", "mean negative log-likelihood of the labels, in nats",
        "sklearn.metrics.log_loss", NONNEGATIVE,
    ),
    _scored(
        "brier", "", "lower",
        "mean squared distance of the probabilities from the labels over all classes, 0 to 2; halved for two classes",
        "sklearn.metrics.brier_score_loss; Brier, Monthly Weather Review 78:1 (1950)", (0.0, 2.0),
    ),
    _scored(
        "rmse", "", "lower", "root of the mean squared error, in the target's unit",
        "sklearn.metrics.root_mean_squared_error", NONNEGATIVE,
    ),
    _scored(
        "mae", "", "lower", "mean absolute error, in the target's unit",
        "sklearn.metrics.mean_absolute_error", NONNEGATIVE,
    ),
    _scored(
        "r2", "", "higher", "share of the targets' variance that is explained; 1 is perfect, 0 predicts the mean",
        "sklearn.metrics.r2_score", (-math.inf, 1.0),
    ),
    _pair(
        "agreement", "higher", "share of samples on which student and teacher predict the same label",
        "Stanton et al., Does Knowledge Distillation Really Work? (2021)",
    ),
    _pair(
        "flips", "lower", "share of samples that exactly one of teacher and student gets right",
        "Dutta et al., arXiv 2407.09141",
    ),
    _pair(
        "negative_flip_rate", "lower", "share of samples that the teacher gets right and the student wrong",
        "Yan et al., Positive-Congruent Training (2021)",
    ),
    _pair(
        "churn_among_wrong", "lower", "share of the samples that both get wrong on which their predictions differ",
        "Jiang et al., Churn Reduction via Distillation (2022)",
    ),
    *(
        _divergence(suffix, what)
        for suffix, what in (("", "mean"), ("_p99", "99th percentile"), ("_max", "largest value"))
    ),
    Kpi(
        name="ece",
        pillar="quality",
        unit="%",
        better="lower",
        definition="expected calibration error: mean distance of confidence and accuracy over 15 equal, right-closed "
        "bins of confidence, weighted by their samples",
        method=f"{_BOOTSTRAP}, bounded for bins of either sign",
        source="Guo et al., On Calibration of Modern Neural Networks (2017)",
        probe=PREDICTIONS,
        derive=f"{ROOM}.accuracy.calibration:ece",
        bounds=SHARE,
        options=_JUDGED,
    ),
    _drop("class_drop", f"{ROOM}.accuracy.slices:class_drop", "largest drop of a class's recall", {}),
    _drop(
        "slice_drop", f"{ROOM}.accuracy.slices:slice_drop", "largest drop of accuracy in a named slice of the data",
        {"missing": None, "bins": None},
    ),
    _drop(
        "weak_slice_drop", f"{ROOM}.accuracy.weak_slice:weak_slice_drop", "drop of accuracy in the slice of the "
        "inputs that a shallow tree finds to be lost most, on samples that the search has not seen", {"depth": 3},
    ),
    Kpi(
        name="mcnemar_p",
        pillar="quality",
        unit="",
        better="higher",
        definition="exact two-sided p of McNemar's test; for the report only, a large p proves no parity",
        method="binomial on the discordant pairs (scipy.stats.binomtest); 1 when there are none",
        source="McNemar, Psychometrika 12:153 (1947)",
        probe=PREDICTIONS,
        derive=f"{ROOM}.accuracy.shares:mcnemar",
        per_sample=True,
        bounds=(0.0, 1.0),
        paired=True,
        report_only=True,
    ),
)  # fmt: skip
