"""What gates may ask of data that come in shards."""

from __future__ import annotations

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.reduction import Summary


class Sharded:
    """The part of `kpis.kpi.Measurements` that is about data in shards."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def merged(self, question: Question) -> Summary | None:
        """Return what all parts of the data add to a question's evidence; None of data that are not in parts."""
        return None
