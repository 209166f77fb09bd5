"""Everything a user can type explains itself."""

from __future__ import annotations

import pytest

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.options import OPTIONS


def test_every_option_has_help_and_an_ini_twin(pytester: pytest.Pytester) -> None:
    """`pytest --help` shows all options under one heading, and each ini value with its help."""
    text = str(pytester.runpytest_inprocess("--help").stdout)
    heading = text.index("modelbench: acceptance tests for compressed models:")
    for option in OPTIONS:
        assert len(option.help) > 20
        if option.where != "ini":
            assert text.index(option.flag, heading) > heading
        if option.where != "command line":
            assert f"  {option.name} (" in text


def test_marker_is_explained(pytester: pytest.Pytester) -> None:
    """`pytest --markers` shows the marker with an example."""
    result = pytester.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.kpi(name, [*]limits, *)*for example kpi('latency_p99',*"])


def test_every_fixture_is_explained(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` shows a line of help for each of ours."""
    text = str(pytester.runpytest_inprocess("--fixtures").stdout)
    for name in ("teacher", "student", "kpi", "teacher_model", "student_model", "eval_data"):
        assert f"\n{name} " in text or f"\n{name}\n" in text
    assert "no docstring available" not in text.partition("fixtures defined from pytest_modelbench")[2][:2000]


def test_catalogue_is_printed(pytester: pytest.Pytester) -> None:
    """`pytest --modelbench-kpis` prints every KPI with unit, direction, definition and source, and runs nothing."""
    pytester.makepyfile("raise SystemExit('collected')")
    result = pytester.runpytest_inprocess("--modelbench-kpis")
    assert result.ret == 0
    text = " ".join(str(result.stdout).split())
    for kpi in CATALOGUE.values():
        assert f"{kpi.name} ({kpi.unit or 'no unit'}, {kpi.better} is better)" in text
        assert " ".join(kpi.definition.split()) in text
        assert kpi.source in text


@pytest.mark.parametrize("kpi", CATALOGUE.values(), ids=lambda kpi: kpi.name)
def test_catalogue_is_complete(kpi: object) -> None:
    """Every KPI says where it comes from, how it is measured, and can be derived."""
    import importlib

    from pytest_modelbench.kpis.kpi import Kpi

    assert isinstance(kpi, Kpi)
    assert kpi.definition
    assert kpi.method
    assert kpi.source
    assert kpi.better in {"higher", "lower"}
    module, _, name = kpi.derive.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
