"""Phrases that the documentation, help texts, catalogue, messages and docstrings avoid."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.options import OPTIONS

ROOT = Path(__file__).parent.parent
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
INSTEAD = {
    r"\b(?:is|are|was|were|be) told\b": "reports, states, shows, with its actor",
    r"(?<!there )\b(?:is|are) no (?!longer|more|less|worse|better|greater|smaller)\w+": "is not a, without",
    r"\bof (?:one's|your|his|her|the user's) own\b": "custom, your",
    r"\bundecided\b": "inconclusive",
    r"\bbargains?\b": "conditional limit",
    r"\b(?:whatever|whoever|nobody|somebody)\b": "name the actor or the thing",
    r"\bby lot\b": "at random",
    r"\bheld against\b": "compared with",
    r"\bbeats?\b(?![(:])": "overrides",
    r"\bstands? (?:in|there|under|for|beside)\b": "is in, represents",
    r"\bwithout a word\b": "silently",
    r"\bwas said\b": "you declared",
    r"\bsteady allocator\b": "allocator trimming disabled",
    r"\bwaits? for a processor\b": "run-queue wait",
}
"""Phrases to avoid, as regular expressions, each with the words to use."""
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ARCHITECTURE.md",
]


def avoided(text: str) -> list[str]:
    """Return every phrase of a text that is to be avoided, with the words to use instead."""
    flat = " ".join(text.split())
    return [
        f"{found.group()!r} in '...{flat[max(found.start() - 40, 0) : found.end() + 20]}...': {words}"
        for phrase, words in INSTEAD.items()
        for found in re.finditer(phrase, flat, re.IGNORECASE)
    ]


@functools.cache
def texts() -> tuple[tuple[str, str], ...]:
    """Return each text of the documentation, the messages and the docstrings, with its place."""
    return tuple(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        yield page.name, page.read_text(encoding="utf-8")
    for option in OPTIONS:
        yield option.name, option.help
    for kpi in CATALOGUE.values():
        yield kpi.name, f"{kpi.definition}. {kpi.method}"
    corpus = tomllib.loads((ROOT / "tests" / "e2e" / "mistakes.toml").read_text(encoding="utf-8"))["mistake"]
    for number, mistake in enumerate(corpus, 1):
        yield f"mistake {number}", mistake["message"]
    for path in sorted((ROOT / "pytest_modelbench").rglob("*.py")):
        yield from docstrings(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix())


def docstrings(node: ast.AST, path: str, qualname: str = "") -> Iterator[tuple[str, str]]:
    """Yield the docstrings of a module and of all its classes and functions, each with `path:qualname`."""
    if isinstance(node, ast.Module | Definition) and (text := ast.get_docstring(node)):
        yield f"{path}:{qualname}", text
    for child in ast.iter_child_nodes(node):
        name = child.name if isinstance(child, Definition) else ""
        yield from docstrings(child, path, ".".join(filter(None, (qualname, name))))


@pytest.mark.parametrize("place", ["docs", "options", "kpis", "mistakes", "docstrings"])
def test_there_are_texts_of_every_kind(place: str) -> None:
    """A source that yields nothing could never fail."""
    places = [name for name, _ in texts()]
    expected = {
        "docs": "glossary.md",
        "options": "modelbench_json",
        "kpis": "latency_p50",
        "mistakes": "mistake 100",
        "docstrings": "pytest_modelbench/models/base.py:Model.failure",
    }
    assert expected[place] in places


def test_texts_avoid_these_phrases() -> None:
    """Name the actor, then the verb, then the object, and one word for one thing."""
    faults = [f"{place}: {fault}" for place, text in texts() for fault in avoided(text)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "planted",
    [
        "'=>' is no operator",
        "mistakes are told at collection",
        "a KPI of your own",
        "the gate is UNDECIDED",
        "the usual\nbargain",
        "whatever holds it",
        "in an order by lot",
        "is held against the teacher",
        "the option beats the fixture",
        "it stands in modelbench.toml",
        "it ends without a word",
        "outputs='logits' was said",
        "the steady allocator",
        "waits for a processor",
    ],
)
def test_planted_phrase_is_found(planted: str) -> None:
    """One for each phrase, across the end of a line too."""
    assert len(avoided(f"On this page, {planted} and so on.")) == 1


@pytest.mark.parametrize(
    "plain", ["there is no teacher", "the student is no longer worse", "the heartbeat", "your own"]
)
def test_plain_words_pass(plain: str) -> None:
    """What only resembles an avoided phrase is free."""
    assert not avoided(plain)
