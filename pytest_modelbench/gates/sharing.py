"""Which gates one measurement serves: an index over all selected items, made once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.gates.gate import TimingSetup
from pytest_modelbench.probes.kinds import TIMING
from pytest_modelbench.settings import Settings


class Planned(Protocol):
    """What the index knows of an item (see `session.ItemPlan`)."""

    @property
    def student(self) -> str:
        """The student's label."""

    @property
    def gates(self) -> tuple[Assignment, ...]:
        """The item's gates."""

    @property
    def settings(self) -> Settings:
        """The settings that hold for it."""

    @property
    def home(self) -> tuple[str, ...]:
        """Where its models and data come from."""


@dataclass(frozen=True, eq=False)
class Sharing:
    """Gates that one measurement serves; `others` are the roles that some of them need beside the student.

    It is equal to itself alone, so that what is found out about all of its gates is remembered by it.
    """

    gates: tuple[Assignment, ...]
    others: frozenset[str]

    @classmethod
    def of(cls, gates: Iterable[Assignment]) -> Sharing:
        """Return what gates share."""
        assignments = tuple(gates)
        return cls(assignments, frozenset(role for gate in assignments for role in gate.others))


class SharingIndex:
    """All selected gates, by what one measurement serves."""

    def __init__(self, items: Iterable[Planned] = ()) -> None:
        groups: dict[tuple[Any, ...], list[Assignment]] = {}
        for item in items:
            for written in item.gates:
                for gate in (written, *written.conditions):
                    groups.setdefault(self._key(item, gate), []).append(gate)
        self._known = {key: Sharing.of(gates) for key, gates in groups.items()}

    def find(self, item: Planned, gate: Assignment) -> Sharing:
        """Return all selected gates that are served together with a gate; itself alone where it is not selected."""
        return self._known.get(self._key(item, gate)) or Sharing.of([gate])

    def of_kinds(self, item: Planned, names: Collection[str]) -> list[Assignment]:
        """Return the selected gates of an item's student about some kinds of measurement."""
        mine = (item.student, item.home, item.settings)
        return [gate for key, of in self._known.items() if key[:3] == mine and key[3] in names for gate in of.gates]

    def setups(self, item: Planned) -> tuple[TimingSetup, ...]:
        """Return how the student of an item is timed for its selected gates, each set-up once."""
        of_item = (item.student, item.home, item.settings, TIMING.name)
        return tuple(key[-1] for key in self._known if key[:-1] == of_item)

    def _key(self, item: Planned, gate: Assignment) -> tuple[Any, ...]:
        return item.student, item.home, item.settings, gate.kpi.probe.name, gate.setup
