"""The name of each gate of a student, under which a tracker keeps its values from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.results import Verdict, json_object, worst

Key = tuple[str, ...]


def keyed(gates: Sequence[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Return gates by their names: that of the KPI, and what tells several gates of one KPI apart.

    That is first the options that are not the KPI's defaults, so that a second gate leaves the name of the first one
    as it was; then the test; then a number. Gates that share a measurement are one, with the limits of all.

    Args:
        gates: of one student, as the report has them.
    """
    by_kpi: dict[str, list[Mapping[str, Any]]] = {}
    for gate in gates:
        by_kpi.setdefault(gate["kpi"], []).append(gate)
    names: dict[Key, dict[str, Any]] = {}
    for alike in by_kpi.values():
        for gate in alike:
            for key in _candidates(gate, alike):
                if key not in names:
                    names[key] = {**gate, "limits": list(gate["limits"])}
                    break
                if _same(names[key], gate):
                    _add(names[key], gate)
                    break
    return names


def _candidates(gate: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    kpi, options = gate["kpi"], gate["options"]
    row = CATALOGUE.get(kpi)
    defaults = json_object(dict(row.options)) if row else {}
    key: Key = (
        kpi,
        *(
            f"{name}_{value}"
            for name, value in options.items()
            if not (name in defaults and _text(defaults[name]) == _text(value))
            and any(_text(other["options"].get(name)) != _text(value) for other in alike)
        ),
    )
    yield key
    test = gate["nodeid"].rpartition("::")[2]
    yield (*key, test)
    yield from ((*key, test, str(number)) for number in count(2))


def _same(gate: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two gates judge the same value."""
    facts = ("suite", "options", "readings", "settings")
    return all(_text(gate.get(name)) == _text(other.get(name)) for name in facts)


def _add(gate: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the limits of a gate to another one of the same value, which takes the worse verdict."""
    texts = {limit["text"] for limit in gate["limits"]}
    gate["limits"] += [limit for limit in other["limits"] if limit["text"] not in texts]
    gate["verdict"] = worst([Verdict(gate["verdict"]), Verdict(other["verdict"])]).value


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
