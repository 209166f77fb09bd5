"""Which gates one measurement serves, found by an index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import Assignment, assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.gates.sharing import SharingIndex
from pytest_modelbench.settings import Settings


def plan(name: str, *gates: Assignment, **more: Any) -> ItemPlan:
    return ItemPlan(
        nodeid=name, **{"student": "int8", "gates": gates, "settings": Settings(), "home": ("a",), **more}
    )


P50 = assigned(read_gate(("latency_p50", "<= 1 ms"), {}))
P99 = assigned(read_gate(("latency_p99", "speedup >= 2"), {}))
LARGE = assigned(read_gate(("latency_p50",), {"batch_size": 8}))
SIZE = assigned(read_gate(("parameters",), {}))


def test_gates_of_one_setup_share() -> None:
    """Of one student, home and settings, however many items they are on; others are not among them."""
    items = [plan("a", P50), plan("b", P99, SIZE), plan("c", LARGE), plan("d", P50, student="other")]
    index = SharingIndex(items)
    assert index.find(items[0], P50).gates == (P50, P99)
    assert index.find(items[0], P50) is index.find(items[1], P99)
    assert index.find(items[2], LARGE).gates == (LARGE,)
    assert index.find(plan("e", P50, home=("b",)), P50).gates == (P50,)
    assert index.find(plan("e", P50, settings=Settings(threads=3)), P50).gates == (P50,)


def test_what_some_gate_needs_beside_the_student_is_known() -> None:
    """The teacher, where one of them compares; nobody else."""
    index = SharingIndex([plan("a", P50), plan("b", P99)])
    assert index.find(plan("a", P50), P50).others == {"teacher"}
    assert SharingIndex([plan("a", P50)]).find(plan("a", P50), P50).others == frozenset()


def test_conditions_share_as_gates_do() -> None:
    """The condition of a limit is measured with the others."""
    conditional = assigned(
        read_gate(("parameters", "reduction >= 50% if latency_p50 <= 1 ms, else reduction >= 90%"), {})
    )
    index = SharingIndex([plan("a", conditional), plan("b", P99)])
    assert [gate.kpi.name for gate in index.find(plan("b", P99), P99).gates] == ["latency_p50", "latency_p99"]


class Counted(tuple[str, ...]):
    """A home that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return tuple.__eq__(self, other)

    __hash__ = tuple.__hash__


def test_a_thousand_items_are_not_searched() -> None:
    """Each question costs the same, however many items there are."""
    home = Counted(("a",))
    items = [replace(plan(str(i), P50), home=home, student=f"s{i}") for i in range(1000)]
    session = BenchSession()
    session.plan(items)
    Counted.compared = 0
    for item in items:
        assert session.sharing(item, P50).gates == (P50,)
    assert Counted.compared <= len(items)
