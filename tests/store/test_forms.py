"""What the fields of our own files must be."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.store.forms import are, has, is_count, is_number, is_reading, is_reference, is_text, maybe
from pytest_modelbench.store.recorded import has_contract_fields

READING: dict[str, Any] = {
    "value": 1.0, "ci_low": 0.5, "ci_high": None, "confidence": 0.95, "n": 3, "unit": "ms", "provenance": "measured",
    "method": "",
}  # fmt: skip
REFERENCE: dict[str, Any] = {"kind": "teacher", "hash": "a:b", "ratio": 0.5, "ci_low": 0, "ci_high": None}


@pytest.mark.parametrize(
    ("fits", "right", "wrong"),
    [
        (is_number, (0, -1.5, None, 1e300), (True, "1", 1e301, float("inf"), float("nan"), 10**400, [])),
        (is_count, (0, 5, None), (-1, 1.0, True, 2**63, "1")),
        (is_text, ("",), (None, 1)),
        (maybe(is_text), ("", None), (1,)),
        (are(is_text), ([], ["a"]), (["a", 1], "a", None)),
        (is_reading, (READING, {**READING, "confidence": None}), ({}, None, {**READING, "unit": None})),
        (is_reference, (REFERENCE, {**REFERENCE, "settings": {}}), ({**REFERENCE, "settings": None}, [])),
    ],
)
def test_fields(fits: Any, right: tuple[Any, ...], wrong: tuple[Any, ...]) -> None:
    """Each kind takes what is written, and nothing else."""
    assert all(map(fits, right))
    assert not any(map(fits, wrong))


@pytest.mark.parametrize("change", [{"ci_low": 2, "ci_high": 1}, {"confidence": 1}, {"confidence": 0}, {"n": -1}])
def test_reading_that_nobody_measured(change: dict[str, Any]) -> None:
    """Ends in the wrong order and confidences that do not exist."""
    assert not is_reading({**READING, **change})


@pytest.mark.parametrize("change", [{"ratio": 0}, {"ratio": -1}, {"ci_low": -1}, {"ci_high": 0}])
def test_reference_is_positive(change: dict[str, Any]) -> None:
    """Its logarithm is taken."""
    assert not is_reference({**REFERENCE, **change})


@pytest.mark.parametrize(("number", "fits"), [(None, True), (0, True), (1, False), (-1, False), ("0", False)])
def test_reading_of_a_contract_names_one_of_its_sets(number: Any, fits: bool) -> None:
    """Its evaluation data are looked up by that number."""
    told = {
        "teacher": {}, "environment": {}, "data": [{"key": "", "reading": "", "spot": {}, "parts": []}],
        "readings": [{"kpi": "f1", "pillar": "quality", "options": {}, "data": number, "reading": READING,
                      "reference": None, "settings": {}}],
    }  # fmt: skip
    assert has_contract_fields(told) is fits


def test_optional_fields_may_be_absent_and_not_wrong() -> None:
    """An older report lacks them."""
    assert has({"a": ""}, {"a": is_text}, {"b": is_text})
    assert not has({"a": "", "b": 1}, {"a": is_text}, {"b": is_text})
    assert not has({}, {"a": is_text})
    assert not has([], {})
