"""Which models are measured together, so that one measurement serves all gates that share it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.shelf import Found
from pytest_modelbench.errors import ModelbenchError
from pytest_modelbench.models.base import Model


def measured_together(
    asking: Asking, measure: Callable[[Mapping[str, Model]], Found], others: Sequence[str] = ("teacher",)
) -> Found:
    """Measure the student together with every model that a sharing gate needs.

    If one that this gate does not need fails, measure again without it.

    Args:
        asking: the gate.
        measure: measures models by role.
        others: the roles that may be measured beside the student.

    Raises:
        ModelbenchError: a model that this gate needs cannot be measured.
    """
    sharing, student = asking.sharing, asking.model("student")
    needed, wanted = {"student": student}, {"student": student}
    for role in others:
        if role in asking.roles or role in asking.gate.others:
            needed[role] = wanted[role] = asking.model(role)
        elif role in sharing.others:
            with contextlib.suppress(ModelbenchError):  # the error of the gate that needs it
                model = asking.model(role)
                if model.clock_ns == student.clock_ns:
                    wanted[role] = model
    if len(wanted) == len(needed):
        return measure(needed)
    try:
        return measure(wanted)
    except ModelbenchError as error:
        if error.blames in {model.name for model in needed.values()}:
            raise
    return measure(needed)
