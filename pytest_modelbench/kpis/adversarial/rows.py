"""Robustness against attacks, as part of the quality pillar: an attack gives an upper bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import FGSM, PGD, ROBUSTNESS, TRANSFER, ProbeKind

_ASKED = {"eps": None, "norm": "linf", "range": None, "mean": None, "std": None, "samples": 500}
_STEPS = {"steps": 40}
_JUDGED = {"confidence": None, "allow_weak_teacher": False}
_PGD = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks (2018)"


def _survivors(
    name: str,
    probe: ProbeKind[Any],
    definition: str,
    source: str,
    options: Mapping[str, object],
    *,
    paired: bool = False,
) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better="higher",
        definition=definition,
        method="attacks on samples= samples, each example asked for once more; Wilson interval, Tango's score "
        "interval for the paired difference; an upper bound where the model hides its gradient",
        source=source,
        probe=probe,
        derive=f"{ROOM}.adversarial.survivors:survivors",
        statistic=probe.name,
        bounds=SHARE,
        options={**_ASKED, **options, **_JUDGED},
        paired=paired,
        alone=paired,
        per_sample=True,
    )


KPIS = (
    _survivors(
        "fgsm_accuracy", FGSM, "share of samples that are right as they are and after one step of eps= along the "
        "gradient",
        "Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015)",
        {"queries": 300, "surrogate": None},
    ),
    _survivors(
        "pgd_accuracy", PGD, "share of samples that are right as they are and after steps= steps along the gradient "
        "within eps=", _PGD, {**_STEPS, "queries": 300, "surrogate": None},
    ),
    _survivors(
        "robust_accuracy", ROBUSTNESS, "share of samples that are right as they are and under every attack: one "
        "step, steps= steps along the model's gradient and along that of surrogate=, noise, attack=, and squares "
        "where the gradient is in doubt", "Carlini et al., On Evaluating Adversarial Robustness (2019)",
        {**_STEPS, "queries": 300, "surrogate": None, "attack": None},
    ),
    _survivors(
        "adversarial_transfer_accuracy", TRANSFER, "share of samples that the student gets right as they are and as "
        "the attack on the teacher left them", "Papernot et al., Transferability in Machine Learning (2016)",
        _STEPS, paired=True,
    ),
)  # fmt: skip
