"""What a user's fixture, factory or file gives as evaluation data, as `EvalData`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.prompts import is_text_file
from pytest_modelbench.errors import DataError


def as_eval_data(value: Any) -> EvalData:
    """Return evaluation data for the value of a fixture or factory.

    A tuple of two is `(inputs, targets)`, and the path of a file of JSON lines has prompts.

    Raises:
        DataError: the value is not evaluation data.
    """
    if isinstance(value, EvalData):
        return value
    if isinstance(value, tuple):
        if len(value) != 2:
            raise DataError(f"found a tuple of {len(value)}; expected (inputs, targets) or EvalData(...)")
        return EvalData(*value)
    if is_text_file(value):
        return EvalData(value, task="text")
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        raise DataError("found a DataFrame; say which column is judged: EvalData(frame, target='column')")
    if value is None:
        raise DataError("found None; expected (inputs, targets) or EvalData(...)")
    return EvalData(value)


def in_shards(reading: Mapping[str, Any], folder: Any) -> EvalData:
    """Return data in many files, as a file says (`shards`, `load`, `task`, ...); no shard is read.

    Args:
        reading: the arguments of `EvalData.from_shards`.
        folder: where relative paths start.

    Raises:
        DataError: as for `EvalData.from_shards`.
    """
    return EvalData.from_shards(folder=folder, **reading)


def with_reading(value: Any, reading: Mapping[str, Any]) -> EvalData:
    """Return evaluation data for a factory's value, read as a file says (`task`, `outputs`, `target`, ...).

    Raises:
        DataError: the value is not evaluation data, or declares itself how it is read.
    """
    if isinstance(value, EvalData):
        raise DataError(
            f"the factory returns EvalData, which says itself how it is read. Leave {', '.join(reading)} out, or "
            "return (inputs, targets)"
        )
    pair = isinstance(value, tuple) and len(value) == 2
    return EvalData(*(value if pair else (value,)), **reading)
