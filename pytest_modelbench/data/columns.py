"""Decide which columns of named data are targets and which go to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.errors import DataError, shown

LABELS = ("labels", "label", "targets", "target")


class Columns:
    """Which columns are the targets and the inputs of frames, mappings and datasets.

    Args:
        target: the column with the targets; None recognises a column with a name of `LABELS`.
        chosen: the columns that the model takes: one name gives its values alone, several give a mapping or a frame;
            None gives all that are not the target.
        has_targets: whether the targets come from somewhere else.

    Attributes:
        notes: the choices made, for the report.

    Raises:
        DataError: the columns are not names, none, or the target itself.
    """

    def __init__(self, target: str | None = None, chosen: Any = None, *, has_targets: bool = False) -> None:
        if has_targets and target is not None:
            raise DataError(f"both targets and target={target!r} were given; expected one of them")
        self.target = target
        self.chosen: str | list[str] | None = _names(chosen)
        self.notes: list[str] = []
        self._given = has_targets
        if target is not None and chosen is not None and target in _listed(self.chosen):
            raise DataError(f"columns: {target!r} is the target, and would go to the model. Exclude it")

    def split(self, named: Any) -> tuple[Any, Any]:
        """Return inputs and targets of a mapping or a frame.

        Raises:
            DataError: a column that is not there, several that may be the target, or labels that a model would get.
        """
        there = list(named) if isinstance(named, Mapping) else list(named.columns)
        target = None if self._given else self.target or self._recognised(there)
        self._expect(there, [*([] if target is None else [target]), *_listed(self.chosen)])
        self._refuse_labels(named, [name for name in there if name != target])
        targets = None if target is None else named[target]
        if isinstance(self.chosen, str):
            return named[self.chosen], targets
        kept = [name for name in there if name != target] if self.chosen is None else self.chosen
        if not kept and target is not None:
            raise DataError(f"there is no column except the target {target!r}: nothing is left for the model")
        if isinstance(named, Mapping):
            return {name: named[name] for name in kept}, targets
        return (named if len(kept) == len(there) else named[kept]), targets

    def expect_names(self, inputs: Any) -> None:
        """Refuse data without names if a column was named.

        Raises:
            DataError: naming the argument.
        """
        if self.target is not None:
            raise DataError(f"target={self.target!r} names a column, and the inputs are a {type(inputs).__name__}")
        if self.chosen is not None:
            raise DataError(f"columns={self.chosen!r} names columns, and the inputs are a {type(inputs).__name__}")

    def _recognised(self, there: Sequence[Any]) -> str | None:
        likely = [name for name in LABELS if name in there and name not in _listed(self.chosen)]
        if len(likely) > 1:
            raise DataError(
                f"the columns {' and '.join(map(repr, likely))} may both be the target. Write "
                f"EvalData(..., target={likely[0]!r}, columns=[...]) with the columns that the model takes"
            )
        if likely and not self.notes:
            self.notes.append(f"targets: the column {likely[0]!r}, by its name")
        return likely[0] if likely else None

    def _expect(self, there: Sequence[Any], wanted: Sequence[str]) -> None:
        for name in wanted:
            if name not in there:
                listed = ", ".join(map(repr, there))
                raise DataError(f"there is no column {name!r} in the inputs; there are {listed}")

    def _refuse_labels(self, named: Any, others: Sequence[Any]) -> None:
        """Refuse to feed a model its labels; a frame's model picks its columns itself."""
        if self.chosen is not None or not isinstance(named, Mapping):
            return
        label = next((name for name in ("labels", "label") if name in others), None)
        if label is not None:
            beside = "targets" if self._given else f"target={self.target!r}"
            raise DataError(
                f"the inputs hold a column {label!r} beside {beside}, and it would go to the model. Write "
                f"EvalData(..., columns={[name for name in others if name != label]!r}) with the columns that the "
                "model takes"
            )


def _listed(chosen: str | list[str] | None) -> list[str]:
    return [chosen] if isinstance(chosen, str) else chosen or []


def _names(chosen: Any) -> str | list[str] | None:
    if chosen is None or isinstance(chosen, str):
        return chosen
    if not isinstance(chosen, list | tuple) or not chosen or not all(isinstance(name, str) for name in chosen):
        raise DataError(
            f"columns: found {shown(chosen)}, expected one name or a list of names, such as "
            "columns=['input_ids', 'attention_mask']"
        )
    if len(set(chosen)) < len(chosen):
        raise DataError(f"columns: found {shown(chosen)}, which names one column twice")
    return list(chosen)
