"""Derivations in two halves: what some samples add, which can be merged, and the evidence of all of them.

Parts of the data may be read by any process in any order: counts are whole numbers, sums are exact, and what is shown
of samples is ordered by their ids, so that merged parts are to the last bit what one pass over all samples gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.results import Evidence


@dataclass(frozen=True)
class Reduction:
    """A derivation that the data may be cut for.

    Attributes:
        reduce: reads samples, which may be all.
        conclude: yields the evidence of all samples.
        excused: whether the teacher, where there is one, is asked for what excuses the student.
    """

    reduce: Callable[[Question, Measurements], Summary]
    conclude: Callable[[Question, Summary], Iterator[Evidence]]
    excused: bool = False

    def __call__(self, question: Question, measurements: Measurements) -> Iterator[Evidence]:
        """Yield the evidence, of parts that were merged where the data are in parts."""
        merged = measurements.merged(question)
        yield from self.conclude(question, self.reduce(question, measurements) if merged is None else merged)
