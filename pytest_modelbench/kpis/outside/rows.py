"""Detection of samples that are out of distribution, by the confidence of the model itself."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import OUTSIDE

_OPTIONS = {"ood": None, "score": "msp"}
_JUDGED = {"confidence": None, "allow_weak_teacher": False}

KPIS = (
    Kpi(
        name="ood_auroc",
        pillar="quality",
        unit="%",
        better="higher",
        definition="probability that the model is more confident of a sample of the data than of one of ood=, ties "
        "by half; of several sets the least",
        method="one forward pass over each set; DeLong's variance, paired with the teacher's; Bonferroni over sets",
        source="Hendrycks and Gimpel, arXiv 1610.02136 (2017)",
        probe=OUTSIDE,
        derive=f"{ROOM}.outside.detection:auroc",
        bounds=SHARE,
        options={**_OPTIONS, **_JUDGED},
        per_sample=True,
    ),
    Kpi(
        name="ood_fpr95",
        pillar="quality",
        unit="%",
        better="lower",
        definition="share of ood= that the model accepts at the confidence that accepts at= percent of the data; of "
        "several sets the largest",
        method="one forward pass over each set; resamples of the data and of the shares left, paired with the "
        "teacher's; Bonferroni over sets",
        source="Liang et al. (ODIN), arXiv 1706.02690 (2018)",
        probe=OUTSIDE,
        derive=f"{ROOM}.outside.detection:false_positives",
        bounds=SHARE,
        options={**_OPTIONS, "at": 95, **_JUDGED},
        per_sample=True,
    ),
)
