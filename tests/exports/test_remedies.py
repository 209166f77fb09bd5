"""What is said of failures: the first cause, the place, the remedy; and that nothing is printed meanwhile."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

import pytest

from pytest_modelbench.exports.quiet import captured
from pytest_modelbench.exports.remedies import REMEDIES, explained, remedy_for, remedy_for_warning


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("does not have a field with name '__obj_flatten__'", "dynamic int8"),
        ("No conversion rule found for operations: quantized::linear_dynamic", "dynamic int8"),
        ("No ONNX function found for <OpOverload(op='aten._int_mm')>", "Int8WeightOnly"),
        ("GuardOnDataDependentSymNode: Could not guard on data-dependent expression Eq(u0, 1)", "torch.cond"),
        ("X typestr: T, has unsupported type: tensor(bfloat16)", "bfloat16"),
        ("Constraints violated (batch)!", "int()"),
        ("Fast mode segfaults when there are out-of-bounds indices", "x.shape[1] - 1"),
        ("Opset 99 is under development: opset", "opset="),
        ("you are exporting a model in training mode", "eval()"),
        ("'score' holds the values of 'box' (labelled by position)", "output_names"),
        ("outputs are renamed: found 'a', expected 'b'", "output_names"),
        ("the output 'box' is missing: found 'score', expected 'score', 'box'", "keep it"),
        ("the output 'logits': 4 of 16 values are not finite, and are in the reference", "weights"),
        ("'a' holds the values of 'b', 'b' holds the values of 'a' (labelled by position)", "in one order"),
        ("the output 'a': 2 of 9 values are not finite, and are in the reference", "is_exporting()"),
    ],
)
def test_known_causes(text: str, word: str) -> None:
    """Each has its remedy."""
    assert word.lower() in remedy_for(text).lower()


def test_unknown_causes_have_no_remedy() -> None:
    """Nothing is guessed."""
    assert remedy_for("something else entirely") == ""


def test_warning_of_a_file_that_was_written() -> None:
    """Only the one about a branch is acted on: exporters warn of much that does no harm."""
    warning = "TracerWarning: Converting a tensor to a Python boolean might cause the trace to be incorrect"
    assert "torch.cond" in remedy_for_warning(warning)
    assert remedy_for_warning("UserWarning: the opset is old") == ""


def test_remedies_end_without_a_period() -> None:
    """They are put into sentences."""
    assert not [known.remedy for known in REMEDIES if known.remedy.endswith(".")]


def test_first_cause_is_told_with_its_place() -> None:
    """Exporters wrap the error that tells most."""

    def forward() -> None:
        raise ValueError("Could not guard on data-dependent expression u0 > 0\nmore lines")

    def exporter() -> None:
        try:
            forward()
        except ValueError as error:
            raise RuntimeError("Failed to export the model") from error

    with pytest.raises(RuntimeError) as raised:
        exporter()
    evidence, remedy = explained(raised.value)
    assert evidence.startswith(
        "ValueError: Could not guard on data-dependent expression u0 > 0, at test_remedies.py:"
    )
    assert evidence.endswith(" in forward")
    assert "torch.where" in remedy


def test_nothing_is_printed(capfd: Any) -> None:
    """Warnings, prints, logs and what libraries in C write are kept, and everything is put back."""
    handlers = list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with captured() as told:
            print("cannot print")
            print("error on stderr", file=sys.stderr)
            warnings.warn("might be wrong", UserWarning, stacklevel=1)
            warnings.warn("will be removed, and might fail", FutureWarning, stacklevel=1)
            logging.getLogger("exporter").warning("not supported: %s", "x")
            os.write(2, b"unsupported by C\n")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert set(told.lines) >= {"cannot print", "error on stderr", "UserWarning: might be wrong", "unsupported by C"}
    assert "not supported: x" in told.lines
    assert not [line for line in told.worth_telling() if "FutureWarning" in line]


def test_failures_put_everything_back(capfd: Any) -> None:
    """An error leaves standard output as it was."""
    with pytest.raises(ValueError, match="no"), captured():
        raise ValueError("no")
    os.write(1, b"seen\n")
    assert capfd.readouterr().out == "seen\n"
