"""A model judged as it is deployed. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.exports.options import parse_target


@dataclass(frozen=True, eq=False)
class Deployed:
    """A student as it is deployed: the file that its source is exported to, run by the runtime of the file's format.

    A fixture `student_model` may return one. The export runs once for the session, in a fresh process.

    Args:
        source: anything that `student_model` may return by itself.
        target: the format, as `FORMAT[:VARIANT][@PROVIDER]`, such as "onnx" or "openvino:f16".

    Raises:
        UsageMistake: the format is unknown, or the source is deployed already.

    >>> Deployed(len, "onnx").target
    'onnx'
    """

    source: Any
    target: str

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            raise UsageMistake(f"Deployed: the target is {shown(self.target)}, expected a format such as 'onnx'")
        parse_target(self.target)
        if isinstance(self.source, Deployed):
            raise UsageMistake(
                f"the student is deployed as {self.source.target} by its fixture, and {self.target} is asked for as "
                "well. Write deploy for a student that is not Deployed, or return its source"
            )


def name_of_source(label: str, target: str) -> str:
    """Return the label of the student that another one is exported from.

    >>> name_of_source("int8@onnx", "onnx"), name_of_source("shipped", "onnx")
    ('int8', 'shipped')
    """
    return label.removesuffix(f"@{target}")


def key_of_source(source: Any) -> str:
    """Return a text for a source: of a path its value, of anything else one that no other object ever gets."""
    from pytest_modelbench.models.base import identity
    from pytest_modelbench.models.saved import SavedModel

    return repr(source) if isinstance(source, str | Path | SavedModel) else identity(source)
