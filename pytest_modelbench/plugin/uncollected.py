"""Gates that are written but not collected: unmatched names, classes with `__init__`, misspelt markers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import pytest

from pytest_modelbench.plugin.fixture_lookup import place_of

MARKERS = {"kpi": "kpi", "edgecase": "edge_case", "corruption": "corruption"}
"""Our markers, by what is left of a name without case, underscores and a plural's s."""


@dataclass(kw_only=True)
class Seen:
    """What pytest looked at in the modules of a session, and what it made of it."""

    collected: set[object] = field(default_factory=set)
    functions: dict[object, str] = field(default_factory=dict)
    classes: dict[type, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


SEEN: pytest.StashKey[Seen] = pytest.StashKey()


def note(collector: pytest.Module | pytest.Class, name: str, candidate: object, made: object) -> None:
    """Take note of a function or class that pytest looked at.

    Args:
        collector: the module or class that holds it.
        name: what it is bound to there.
        candidate: a function, a static method or a class.
        made: the items or collectors that came of it, if any.
    """
    seen = collector.config.stash.setdefault(SEEN, Seen())
    plain: Any = candidate.__func__ if isinstance(candidate, staticmethod) else candidate
    place = f"{collector.nodeid}::{name}"
    if made:
        seen.collected.add(inspect.unwrap(plain))
        if type(made) is pytest.Class and _is_made_by_arguments(plain) and _holds_gates(plain):
            seen.mistakes.append(
                f"{place}: pytest collects no class with __init__ or __new__, so its markers are never judged. "
                "Remove it, and write a fixture for what it does"
            )
    elif getattr(plain, "__test__", True) and plain.__module__ == _module_of(collector):
        if isinstance(plain, FunctionType) and _marked(plain):
            seen.functions[inspect.unwrap(plain)] = place
        elif isinstance(plain, type) and _holds_gates(plain):
            seen.classes[plain] = place


def _module_of(collector: pytest.Module | pytest.Class) -> str | None:
    module = collector.getparent(pytest.Module)
    return None if module is None else str(module.obj.__name__)


def _marked(candidate: object) -> list[str]:
    marks = getattr(candidate, "pytestmark", [])
    names = [getattr(mark, "name", "") for mark in (marks if isinstance(marks, list) else [marks])]
    return [name for name in names if name in MARKERS.values()]


def _holds_gates(candidate: type) -> bool:
    methods = (getattr(member, "__func__", member) for member in vars(candidate).values())
    return bool(_marked(candidate)) or any(isinstance(method, FunctionType) and _marked(method) for method in methods)


def _is_made_by_arguments(candidate: type) -> bool:
    return any(getattr(candidate, name) is not getattr(object, name) for name in ("__init__", "__new__"))


def never_judged(config: pytest.Config, items: Sequence[pytest.Item]) -> Iterator[str]:
    """Yield a mistake for each function and class whose markers pytest passes over, and for each misspelt marker."""
    seen = config.stash.get(SEEN, Seen())
    yield from seen.mistakes
    for function, place in seen.functions.items():
        if function not in seen.collected:
            name = place.split("::")[-1]
            patterns = " ".join(config.getini("python_functions"))
            yield (
                f"{place}: pytest does not collect this function, so its marker is never judged: its name does not "
                f"match python_functions ({patterns}). Write def test_{name.lstrip('_')}, or {name}.__test__ = False "
                "where it is not meant to be a test"
            )
    yield from _misspelt(config, items)


def passed_over(config: pytest.Config) -> list[str]:
    """Return the classes with markers that neither pytest collects nor anything is derived from."""
    seen = config.stash.get(SEEN, Seen())
    return [place for cls, place in seen.classes.items() if cls not in seen.collected and not cls.__subclasses__()]


def _misspelt(config: pytest.Config, items: Sequence[pytest.Item]) -> Iterator[str]:
    registered = {line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    mistakes = set()
    for item in items:
        for name in {mark.name for mark in item.iter_markers()} - registered:
            meant = meant_by(name)
            text = f"{place_of(item)}: there is no marker {name!r}, so nothing of it is judged. Write {meant!r}"
            if meant is not None and text not in mistakes:
                mistakes.add(text)
                yield text


def meant_by(name: str) -> str | None:
    """Return which of our markers a name was meant to be, where that is certain.

    >>> meant_by("kpis"), meant_by("KPI"), meant_by("kip"), meant_by("edgecases"), meant_by("api")
    ('kpi', 'kpi', 'kpi', 'edge_case', None)
    """
    plain = name.lower().replace("_", "").removesuffix("s")
    by_letters = {"".join(sorted(short)): meant for short, meant in MARKERS.items()}
    return by_letters.get("".join(sorted(plain)))
