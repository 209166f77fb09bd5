"""What a student keeps of its teacher's tags and entities."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from seqeval.metrics import f1_score
from tag_tables import changed, random_tags, tag_evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.tasks.answers import classes_of

RNG = np.random.default_rng(8)
TARGETS = random_tags(RNG, 60)
TEACHER = changed(RNG, TARGETS, 0.1)
STUDENT = changed(RNG, TEACHER, 0.1)
MODELS: dict[str, Any] = {"student": STUDENT, "teacher": TEACHER, "targets": TARGETS}


def test_agreement_of_tags_and_entities() -> None:
    """The share of equal tags, and seqeval's F1 with the teacher's tags as the true ones."""
    pairs = [pair for both in zip(STUDENT, TEACHER, strict=True) for pair in zip(*both, strict=True)]
    tags = tag_evidence("tag_agreement", ">= 1%", **MODELS)
    assert tags.student.value == pytest.approx(100 * np.mean([one == other for one, other in pairs]))
    assert tags.teacher is None
    entities = tag_evidence("entity_agreement", ">= 1%", **MODELS)
    assert entities.student.value == pytest.approx(100 * f1_score(TEACHER, STUDENT))
    assert {row["name"] for row in entities.breakdown} == {"type PER", "type LOC"}


def test_lost_entities_by_hand() -> None:
    """Of 4 true entities the teacher finds 3, the student one of these and the other one."""
    targets = [["B-PER", "O", "B-LOC"], ["B-PER", "I-PER", "B-LOC"]]
    teacher = [["B-PER", "O", "B-LOC"], ["B-PER", "I-PER", "O"]]
    student = [["B-PER", "O", "B-PER"], ["B-PER", "O", "B-LOC"]]
    judged = tag_evidence("lost_entities", "<= 99%", student=student, teacher=teacher, targets=targets)
    assert judged.student.value == 50
    assert "2 of 4 entities lost, 1 gained" in judged.notes
    assert {row["name"]: row["student"] for row in judged.breakdown} == {"type LOC": 50, "type PER": 50}


def test_no_lost_entity_has_an_upper_end() -> None:
    """None of 60 lost: up to 4.3% may be."""
    targets = [["B-PER"]] * 60
    judged = tag_evidence("lost_entities", "<= 5%", student=targets, targets=targets)
    assert judged.student.value == 0
    assert judged.student.estimate.high == pytest.approx(100 * 1.6449**2 / (60 + 1.6449**2), abs=0.01)


def test_entity_drop_is_that_of_the_worst_type() -> None:
    """F1 of LOC falls by the difference of seqeval's; a type with few entities is named and left out."""
    targets = [["B-PER", "B-LOC"]] * 30 + [["B-ORG", "O"]] * 3
    student = [["B-PER", "O"]] * 12 + [["B-PER", "B-LOC"]] * 18 + [["O", "O"]] * 3
    judged = tag_evidence("entity_drop", "<= 60 pp", student=student, targets=targets)
    assert judged.student.value == pytest.approx(100 - 100 * 2 * 18 / 48)
    rows = {row["name"]: row for row in judged.breakdown}
    assert list(rows) == ["LOC", "PER"]
    assert rows["LOC"]["ci_low"] < 25 < rows["LOC"]["ci_high"]
    assert rows["PER"]["value"] == 0
    assert 0 < rows["PER"]["ci_high"] < 15
    assert "too small to judge: ORG (3)" in judged.notes
    assert judged.worst_samples[:2] == ("0", "1")
    with pytest.raises(MeasurementError, match=re.escape("samples: LOC (30), ORG (3), PER")):
        tag_evidence("entity_drop", "<= 60 pp", student=student, targets=targets, min_n=50)


class Labelled:
    """A model's adapter with names of its classes, as a module of Hugging Face has them."""

    def __init__(self, *names: str) -> None:
        config = type("Config", (), {"id2label": dict(enumerate(names))})
        self.module = type("Module", (), {"config": config})

    def classes_of(self, _: Any) -> None:
        return None


def test_names_of_a_models_classes() -> None:
    """Those of id2label; the names that the library makes up name nothing."""
    adapter: Any = Labelled("O", "B-PER")
    assert classes_of(adapter, None) == ("O", "B-PER")
    adapter = Labelled("LABEL_0", "LABEL_1")
    assert classes_of(adapter, None) is None


@pytest.mark.parametrize("kpi", ["token_accuracy", "entity_f1", "tag_agreement", "entity_agreement", "lost_entities"])
def test_few_groups_prove_little(kpi: str) -> None:
    """One group shows nothing of how groups differ, and three show little: tokens of a group are not independent."""
    limit = "<= 90%" if kpi == "lost_entities" else ">= 5%"
    one, three, alone = (
        tag_evidence(kpi, limit, **MODELS, data={"group": group}, confidence=0.95).student.estimate
        for group in ([0] * 60, [place % 3 for place in range(60)], None)
    )
    assert (one.low, one.high) == (0.0, 100.0)
    assert three.low is not None
    assert alone.low is not None
    assert three.low < alone.low


def test_drops_of_few_units() -> None:
    """A drop that is alike in all resamples: one group proves nothing, more as much as there are units."""
    words = {**MODELS, "student": TEACHER}
    with pytest.raises(MeasurementError, match="no class has 2 entities or more in at least 2 independent samples"):
        tag_evidence("entity_drop", "<= 5 pp", **words, data={"group": [0] * 60}, min_n=2)
    few, many = (
        tag_evidence("entity_drop", "<= 5 pp", **words, data={"group": group}, min_n=2).student.estimate
        for group in ([place % 5 for place in range(60)], list(range(60)))
    )
    assert few.high is not None
    assert many.high is not None
    assert few.high > 2 * many.high > 0


def test_types_share_the_error() -> None:
    """Beside another type the interval of a type is wider (Bonferroni)."""
    both = tag_evidence("entity_drop", "<= 5 pp", **MODELS, min_n=2).breakdown
    together = max(both, key=lambda row: int(row["n"]))
    (alone,) = tag_evidence("entity_drop", "<= 5 pp", **MODELS, min_n=together["n"]).breakdown
    assert len(both) == 2
    assert alone["name"] == together["name"]
    assert together["ci_low"] < alone["ci_low"] < alone["ci_high"] < together["ci_high"]
