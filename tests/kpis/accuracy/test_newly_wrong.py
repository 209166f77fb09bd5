"""The breakdown of `top1_accuracy`: which labels the student gives to samples that the teacher gets right."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix
from tables import GUESS, TARGETS, TEACHER, evidence

from pytest_modelbench.kpis.accuracy.newly_wrong import MOST_IDS, MOST_PAIRS


def test_by_hand() -> None:
    """The most frequent pair is first, with the first of its samples; what the teacher has wrong too is not counted."""
    targets = np.array(["cat", "cat", "cat", "cat", "cat", "dog", "dog", "owl"])
    student = np.array(["dog", "dog", "dog", "dog", "cat", "owl", "dog", "cat"])
    teacher = np.array(["cat", "cat", "cat", "cat", "cat", "dog", "owl", "dog"])
    right = np.repeat(["cat", "dog", "owl"], 20)
    student, teacher, targets = (np.concatenate([labels, right]) for labels in (student, teacher, targets))
    found = evidence("top1_accuracy", "drop <= 1 pp", student=student, teacher=teacher, targets=targets)
    assert found.breakdown == (
        {"name": "cat as dog", "target": "cat", "predicted": "dog", "n": 4, "ids": ["0", "1", "2"]},
        {"name": "dog as owl", "target": "dog", "predicted": "owl", "n": 1, "ids": ["5"]},
    )


def test_as_the_confusion_matrix() -> None:
    """Counts are those of scikit-learn's matrix of the samples that the teacher gets right, without its diagonal."""
    found = evidence("top1_accuracy", "drop <= 1 pp")
    kept = TEACHER.argmax(axis=1) == TARGETS
    names = sorted(set(TARGETS.tolist()) | set(GUESS.tolist()))
    matrix = confusion_matrix(TARGETS[kept], GUESS[kept], labels=names)
    np.fill_diagonal(matrix, 0)
    largest = sorted(matrix[matrix > 0].tolist(), reverse=True)[:MOST_PAIRS]
    assert [row["n"] for row in found.breakdown] == largest
    for row in found.breakdown:
        assert row["n"] == matrix[names.index(int(row["target"])), names.index(int(row["predicted"]))]
        assert len(row["ids"]) == min(row["n"], MOST_IDS)
        assert all(str(TARGETS[int(sample)]) == row["target"] for sample in row["ids"])


def test_without_a_teacher_or_a_loss() -> None:
    """There is nothing to show."""
    labels = np.arange(30) % 3
    assert evidence("top1_accuracy", "drop <= 1 pp", student=labels, teacher=labels, targets=labels).breakdown == ()
