"""`includes NAME, NAME`: limits on KPIs that count a set."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.errors import LimitSyntaxError, UsageMistake
from pytest_modelbench.exports.options import parse_target
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.grammar.limits import BoundLimit, bind_limit, parse_limit

NAMES = st.from_regex(r"[a-z_]+(:[a-z0-9]+)?(@[A-Za-z]+)?", fullmatch=True)


def bind(text: str) -> BoundLimit:
    return bind_limit(
        parse_limit(text),
        kpi="export",
        unit="formats",
        better="higher",
        bounds=(0.0, math.inf),
        member=parse_target,
    )


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_what_is_printed_reads_back(names: list[str]) -> None:
    """The canonical spelling parses to an equal limit, whatever the space."""
    limit = parse_limit(f"  includes {' ,  '.join(names)} ")
    assert limit.names == tuple(names)
    assert str(limit) == f"includes {', '.join(names)}"
    assert parse_limit(str(limit)) == limit


def test_bound_to_a_set() -> None:
    """The threshold is the number of names, no teacher is needed, and all of them must be there."""
    bound = bind("includes onnx:fp16, openvino")
    assert (bound.measure, bound.threshold, bound.needs_teacher) == ("includes", 2, False)
    assert bound.holds(2)
    assert not bound.holds(1)
    assert bind("includes onnx@CUDAExecutionProvider").limit.names == ("onnx@CUDAExecutionProvider",)


@pytest.mark.parametrize(
    ("text", "told", "advice"),
    [
        ("includes", "needs names", "includes onnx, openvino"),
        ("includes onnx,", "a name is missing", "Write 'includes onnx'"),
        ("includes , onnx", "a name is missing", "Write 'includes onnx'"),
        ("includes onnx,,tvm", "a name is missing", "Write 'includes onnx, tvm'"),
        ("includes onnx, onnx", "named twice", "once"),
        ("includes onnx openvino", "is not a name", "Write 'includes onnx, openvino'"),
        ("includes >= 2", "no operator", "includes onnx, openvino"),
        ("inclodes onnx", "unknown subject", "Write 'includes onnx'"),
    ],
)
def test_slips_of_the_list(text: str, told: str, advice: str) -> None:
    """A list that cannot be meant is refused with what to write."""
    with pytest.raises(LimitSyntaxError, match=told) as raised:
        parse_limit(text)
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("includes onix", "Did you mean 'onnx'"),
        ("includes onnx:fp61", "variants fp16, fixed"),
        ("includes openvino@CUDAExecutionProvider", "only onnx takes an execution provider"),
        ("drop <= 1 pp", "compares values of two models"),
        ("regression <= 5%", "compares values of two models"),
        (">= 0", "always holds"),
        (">= 50%", "in 'formats'"),
    ],
)
def test_limits_that_do_not_fit_a_set(limit: str, told: str) -> None:
    """Unknown members and comparisons are mistakes."""
    with pytest.raises(UsageMistake, match=told):
        bind(limit)


def test_numbers_are_no_sets() -> None:
    """Other KPIs refuse `includes`."""
    with pytest.raises(UsageMistake, match="'includes' is for KPIs that count a set, and latency_p99 is a number"):
        read_gate(("latency_p99", "includes onnx"), {})


def test_names_become_formats() -> None:
    """What limits name is looked for beside what the option names, each once and in canonical form."""
    gate = read_gate(("export", "includes onnx, openvino"), {"formats": [" onnx", "tvm"]})
    assert gate.options["formats"] == ("onnx", "tvm", "openvino")
    assert gate.targets == ("includes onnx, openvino",)
    assert read_gate(("export",), {"formats": "onnx"}).options["formats"] == ("onnx",)


def test_conditions_name_formats_too() -> None:
    """Both branches of a conditional limit are looked for, and a condition on export brings its own formats."""
    gate = read_gate(("export", "includes onnx if parameters reduction >= 75%, else includes onnx, tvm"), {})
    assert gate.options["formats"] == ("onnx", "tvm")
    from pytest_modelbench.gates.gate import conditions_of

    other = read_gate(("size_on_disk", "reduction >= 50% if export includes onnx, else reduction >= 10%"), {})
    assert [one.options["formats"] for one in conditions_of(other)] == [("onnx",)]


@pytest.mark.parametrize(
    ("limits", "options", "told"),
    [
        ((), {}, "nothing says what is looked for"),
        ((">= 2",), {}, "nothing says what is looked for"),
        ((">= 2",), {"formats": ["onnx"]}, "can never hold"),
        (("includes onnx",), {"formats": ["tvmm"]}, "Did you mean 'tvm'"),
        (("includes onnx",), {"parity": "1 ms"}, "expected a number above 0"),
        (("includes onnx",), {"batch_sizes": [0]}, "expected a list of integers"),
        (("includes onnx",), {"dynamic": {"x": [-1]}}, "expected a table"),
        (("includes onnx",), {"opset": 0}, "opset"),
    ],
)
def test_mistakes_of_a_gate(limits: tuple[str, ...], options: dict[str, Any], told: str) -> None:
    """Each is one message that names the KPI."""
    with pytest.raises(UsageMistake, match=told) as raised:
        read_gate(("export", *limits), options)
    assert "kpi 'export'" in str(raised.value)


def test_counts() -> None:
    """A number of formats is a limit too, with or without the unit."""
    for text in (">= 2", ">= 2 formats"):
        assert read_gate(("export", text), {"formats": ["onnx", "tvm"]}).limits[0].measure == "value"
