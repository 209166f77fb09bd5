"""The one table of the kpi marker's keywords, and everything that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates import reading
from pytest_modelbench.gates.keywords import KEYWORDS, MEASURING, OWN, PAGES, marker_help
from pytest_modelbench.gates.sla_schema import sla_schema
from pytest_modelbench.kpis.catalogue import CATALOGUE, find_kpi

DOCS = Path(__file__).parents[2] / "docs"
TAKEN = {name for kpi in CATALOGUE.values() for name in kpi.options}


def test_the_table_has_what_the_kpis_take() -> None:
    """Every keyword of the catalogue is there, and none that no KPI takes."""
    assert set(MEASURING) == TAKEN | {"allow_reversed"}
    custom, _ = find_kpi("mine", {"metric": max, "better": "higher"})
    assert set(OWN) == {"better", "unit", "metric"} | (set(custom.options) - TAKEN)


@pytest.mark.parametrize("name", KEYWORDS)
def test_a_keyword_is_told_everywhere(name: str) -> None:
    """In `pytest --markers`, in the page about gates and in the schema of modelbench.toml, in the same words."""
    told = KEYWORDS[name].told
    assert len(told) > 10
    assert f"\n    {name}=: {told}" in marker_help()
    assert f"`{name}=`" in (DOCS / "gates.md").read_text(encoding="utf-8")
    assert told in (DOCS / "gates.md").read_text(encoding="utf-8")
    typed = sla_schema()["properties"]["kpi"]["additionalProperties"]["properties"][name]
    assert typed["description"] == told
    assert {"type", "enum"} & set(typed)


def test_the_marker_prints_every_keyword(pytester: pytest.Pytester) -> None:
    """`pytest --markers` has a line for each."""
    text = str(pytester.runpytest_inprocess("--markers").stdout)
    assert all(f"    {name}=: " in text for name in KEYWORDS)


@pytest.mark.parametrize("name", [name for name, keyword in KEYWORDS.items() if keyword.takes is not None])
def test_what_is_not_taken_is_told(name: str) -> None:
    """A value of a wrong type is refused with what is expected of it."""
    kpi = next((kpi.name for kpi in CATALOGUE.values() if name in kpi.options), "mine")
    more: dict[str, Any] = {"metric": max, "better": "higher"} if kpi == "mine" else {}
    with pytest.raises(UsageMistake) as told:
        reading.read_gate((kpi,), {name: 1.5j, **more})
    assert KEYWORDS[name].expected
    assert KEYWORDS[name].expected in str(told.value)


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_pages_are_there(name: str, page: str) -> None:
    """Each link of the table leads to a page that names the keyword or its section."""
    assert name in KEYWORDS
    file = page.partition("#")[0] or "gates.md"
    assert (DOCS / file).is_file()


def test_every_marker_is_read_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many items it is on: what it says is kept, and so is a mistake in it, told once for its place."""
    asked: list[Any] = []
    read = reading.read_gate

    def counted(*args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return read(*args, **options)

    monkeypatch.setattr(reading, "read_gate", counted)
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.kpi("parameters", "<= 1M")

        @pytest.mark.parametrize("lang", ["en", "de", "fr"])
        @pytest.mark.kpi("agreement", ">= 90%")
        @pytest.mark.kpi("flips", "<= 1 ms")
        def test_gates(lang): ...
        """
    )
    result = pytester.runpytest_inprocess("--modelbench", "--collect-only", "-q")
    assert sorted(args[0] for args in asked) == ["agreement", "flips", "parameters"]
    assert str(result.stderr).count("kpi 'flips'") + str(result.stdout).count("kpi 'flips'") == 1
