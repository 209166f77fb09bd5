"""Which averages over entity types there are. Standard library only: it is read at collection."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.kpis.kpi import Kpi


def check_average(_kpi: Kpi, options: Mapping[str, object], _limits: object) -> None:
    """Refuse the average of two classes.

    Raises:
        UsageMistake: it is stated.
    """
    if options.get("average") == "binary":
        raise UsageMistake("average='binary', expected one of micro, macro, weighted")
