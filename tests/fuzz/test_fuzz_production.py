"""Whatever a file of production holds: `monitor` judges it, or says what is wrong with it.

`MODELBENCH_FUZZ=100000 pytest tests/fuzz/test_fuzz_production.py` looks further than every run does.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench.commands.cli import main

EXAMPLES = int(os.environ.get("MODELBENCH_FUZZ", "300"))
fuzzed = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
NAMES = ("id", "prediction", "label", "latency_ms", "timestamp", "score_0", "score_1", "sex")
LIMITS = """
[kpi]
top1_accuracy = [">= 50%", "drop <= 2 pp", "regression <= 5%"]
f1 = ">= 50%"
mae = "<= 1"
log_loss = "<= 1"
latency_p50 = "<= 1 s"
prediction_drift = "<= 0.1"
confidence_drift = "<= 0.1"
nonfinite_outputs = "== 0"
slice_drop = "<= 5 pp"
agreement = ">= 90%"
"""
ODD = st.sampled_from(
    ["", "nan", "NaN", "inf", "-1", "1e400", "2026-01-01", "cat", "\u0662", "1_0", "True", "\x00", "0x1"]
)
SMALL = st.integers(-3, 12).map(str)
CELLS = SMALL | st.floats(0, 1).map(str) | ODD | st.text(max_size=5)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | CELLS | st.lists(st.integers(), max_size=2)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows of mostly fitting columns."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    names = names or ["label"]
    names = list(dict.fromkeys(["prediction", *names])) if draw(st.booleans()) else names
    count = draw(st.integers(0, 12))
    cells = {name: draw(st.sampled_from([SMALL, st.floats(0, 1).map(str), CELLS])) for name in names}
    return [{name: draw(cells[name]) for name in names} for _ in range(count)]


def as_csv(table: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["prediction"])
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a file of either text form, whole, cut, or of anything."""
    kind = draw(st.sampled_from(["csv", "jsonl"]))
    table = draw(tables())
    if kind == "csv":
        content = as_csv(table)
    else:
        rows = [{**row, **draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))} for row in table]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
    damaged = st.integers(1, 20).map(lambda end: content[:-end]) | st.binary(max_size=60)
    return f"rows.{kind}", draw(st.one_of(st.just(content), st.just(content), damaged))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for the files of all examples, with limits and an accepted report."""
    folder = tmp_path_factory.mktemp("production")
    folder.joinpath("limits.toml").write_text(LIMITS)
    rows = [{"prediction": at % 3, "label": (at + (at < 5)) % 3, "latency_ms": 1} for at in range(200)]
    folder.joinpath("accepted.csv").write_bytes(as_csv(rows))
    accepted = folder / "accepted.json"
    main(["monitor", str(folder / "accepted.csv"), "--limits", str(folder / "limits.toml"), "--json", str(accepted)])
    return folder


@pytest.mark.filterwarnings("error")
@given(files(), st.sampled_from([(), ("--task=regression",), ("--task=binary",), ("--slices=sex",), ("--last=3",)]))
@fuzzed
def test_production(folder: Path, drawn: tuple[str, bytes], options: tuple[str, ...]) -> None:
    """An exit code of ours, never an exception or a warning."""
    name, content = drawn
    path = folder / name
    path.write_bytes(content)
    chosen = ["--limits", str(folder / "limits.toml"), "--baseline", str(folder / "accepted.json"), *options]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["monitor", str(path), *chosen]) in {0, 1, 2, 3}
