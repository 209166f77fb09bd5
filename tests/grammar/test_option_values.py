"""What the values of options must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_modelbench.grammar.option_values import Number, at_home, regression, unprintable, written_to
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.settings import Given, check_typed, resolve_settings

BY_NAME = {option.name: option for option in OPTIONS}
WHOLE = Number(least=1, most=1024, whole=True)


@pytest.mark.parametrize("text", ["２", "1.0", "1e3", "0", "1025", "-1", "", "1 000", "nan", "9" * 5000, "0x10"])
def test_text_that_is_no_integer(text: str) -> None:
    """ASCII digits within the bounds, or a message that says so."""
    with pytest.raises(ValueError, match=r"^an integer from 1 to 1,024$"):
        WHOLE(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" 8 ", 8), ("1024", 1024), ("+3", 3)])
def test_text_that_is_an_integer(text: str, value: int) -> None:
    """Both bounds belong to it."""
    assert WHOLE(text) == value


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1], 10**400])
def test_typed_value_that_is_no_integer(value: object) -> None:
    """TOML has types, and none is converted."""
    with pytest.raises(ValueError, match="an integer"):
        WHOLE.checked(value)


@pytest.mark.parametrize("text", ["0.5", "1", "0.9999999999999999", "nan", "inf", "95%"])
def test_confidence_out_of_its_range(text: str) -> None:
    """So near to 1 no sample supports an interval; at a half nothing is confident."""
    _, mistakes = resolve_settings([Given(values={"modelbench_confidence": text}, where=lambda _: "here")])
    assert mistakes == [f"here: found {text!r}, expected a number above 0.5 and up to 0.999999, such as 0.95"]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("threads", (2**31, 10**9, -1)),
        ("budget", (1e308, float("inf"), 0, "30", [3], {}, [], True, -1)),
        ("seed", (10**40, 1.5, -1)),
        ("energy_window", (1e300, 0)),
        ("grid_intensity", (1e308, -1)),
        ("device", (0, "gpu", "cuda:１")),
        ("fail_on_regression", (5, "-5%", "5", "5% if f1 >= 1%, else <= 3%")),
        ("inconclusive", (False, "pass")),
    ],
)
def test_typed_value_that_no_option_takes(option: str, values: tuple[object, ...]) -> None:
    """What a modelbench.toml may not say, each with what is expected."""
    for value in values:
        with pytest.raises(ValueError, match=r"integer|number|cpu|percentage|one of"):
            check_typed(BY_NAME[f"modelbench_{option}"], value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("threads", 8),
        ("budget", 30),
        ("budget", 2.5),
        ("seed", 0),
        ("device", "cuda:1"),
        ("fail_on_regression", "5%"),
    ],
)
def test_typed_value_that_an_option_takes(option: str, value: object) -> None:
    """Numbers without quotes, texts with them."""
    check_typed(BY_NAME[f"modelbench_{option}"], value)


@pytest.mark.parametrize("text", ["test_sla.py", "pyproject.toml", "x/", ".", "report", "pytest.ini", "a.json/"])
def test_report_path_ends_in_json(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option whose value was forgotten must not take the next argument for it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"a path that ends in \.json, written --modelbench-json=PATH"):
        written_to("--modelbench-json", ".json")(text)


@pytest.mark.parametrize("text", ["test_sla.py", "pytest.ini", "report.json", "folder/"])
def test_contract_path_is_none_of_a_project_s_files(text: str) -> None:
    """It has no ending of its own, so those of tests and settings are refused."""
    with pytest.raises(ValueError, match=r"the path of a file, teacher\.mbc"):
        written_to("--modelbench-record-contract")(text)


def test_streams_are_written_to_by_any_name(tmp_path: Path) -> None:
    """A device and a named pipe have no ending."""
    os.mkfifo(tmp_path / "pipe")
    check = written_to("--modelbench-json", ".json")
    assert [check("/dev/null"), check(str(tmp_path / "pipe"))] == ["/dev/null", str(tmp_path / "pipe")]


def test_home_folder_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells leave it alone behind an equals sign."""
    monkeypatch.setenv("HOME", "/somewhere")
    assert written_to("--modelbench-json", ".json")("~/x.json") == "/somewhere/x.json"
    assert [at_home("a~b"), at_home("~nobody-of-that-name/x")] == ["a~b", "~nobody-of-that-name/x"]


def test_regression_is_a_percentage_that_may_be_zero() -> None:
    """A negative one would demand that every student gets better."""
    assert regression("0%") == "regression <= 0%"
    with pytest.raises(ValueError, match="at least 0%"):
        regression("-5%")


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("clicks per day", ""),
        ("café", ""),
        ("x" * 101, "expected at most 100 characters, and it has 101"),
        ("\x1b[2J", "expected printable characters on one line"),
        ("a\nb", "expected printable characters on one line"),
        ("\ud800", "expected printable characters on one line"),
    ],
)
def test_names_fit_a_line_of_a_table(word: str, fault: str) -> None:
    """Whatever a terminal would obey, or could not print, is no name."""
    assert unprintable(word, 100) == fault
