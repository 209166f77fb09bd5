"""Whatever is written in a marker, a file or a contract: a value comes back, or a mistake with a message.

`MODELBENCH_FUZZ=100000 pytest tests/fuzz` looks further than every run does.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, UsageMistake
from pytest_modelbench.gates.keywords import KEYWORDS
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.gates.sla import RUN_KEYS, read_sla
from pytest_modelbench.gates.sla_data import DATA_KEYS
from pytest_modelbench.gates.sla_schema import sla_schema
from pytest_modelbench.grammar.limits import OPERATORS, SUBJECTS, parse_limit
from pytest_modelbench.grammar.option_values import parse_tier, regression
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.models.named import parse_spec
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.reports.comparison import compare_reports, render_comparison
from pytest_modelbench.settings import Given, resolve_settings
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.recognising import TEXT
from pytest_modelbench.store.recorded import DIGEST, Recorded, RecordedData, write_contract

EXAMPLES = int(os.environ.get("MODELBENCH_FUZZ", "1000"))
fuzzed = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
fewer = settings(fuzzed, max_examples=max(1, EXAMPLES // 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for the files of all examples."""
    return tmp_path_factory.mktemp("fuzz")


class Odd:
    """An object of a user's that raises wherever it is looked at."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __getattr__(self, name: str) -> object:
        raise ZeroDivisionError

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]
    __lt__ = __gt__ = __le__ = __ge__ = __eq__


WORDS = (
    *SUBJECTS, *OPERATORS, "=>", "≤", " ", "  ", "\t", "\n", "\x1b[2J", "\0", "\ud800", "１", "if", "else", ",", "T4",
    "parameters", "latency_p50", "%", "pp", "x", "ms", "mb", "MB", "1/s", "k", "0", "-1", "5", "2.5", "1e999", "1e-400",
    "1_000", "nan", "inf", "100", "3,5", "clicks",
)  # fmt: skip
LIMITS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=9).map("".join),
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join),
    st.builds(
        "{} {} {} {}".format, *(st.sampled_from(some) for some in (("", *SUBJECTS), tuple(OPERATORS), WORDS, WORDS))
    ),
    st.text(max_size=9).map(lambda text: text * 200),
)
NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from((10**6, 2**31, 2**63, 10**40)), st.floats())
PLAIN = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=12), st.sampled_from(("", "x" * 2000, "\x1b[2J"))
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.one_of(VALUES, LIMITS, st.builds(Odd), st.binary(max_size=5), st.builds(np.ones, st.integers(0, 3)))
KPIS = st.one_of(st.sampled_from((*CATALOGUE, "clicks", "latency_p98")), st.text(max_size=200))
GIVEN = st.dictionaries(st.sampled_from((*KEYWORDS, "batchsize")), OBJECTS, max_size=3)
OWN = st.fixed_dictionaries(
    {"better": st.sampled_from(("higher", "lower")), "unit": st.sampled_from(("", "%", "ms", "x", "clicks"))}
)


@contextlib.contextmanager
def mistakes_only(kind: type[Exception] = UsageMistake) -> Iterator[None]:
    """Let mistakes with a message pass, and nothing else."""
    try:
        yield
    except (UsageMistake, kind) as mistake:
        check_told(mistake)


def check_told(error: Exception) -> None:
    """Fail where an error says nothing."""
    assert str(error).strip(), type(error)


@given(LIMITS, KPIS, OWN)
@fuzzed
def test_limits(text: str, kpi: str, own: dict[str, Any]) -> None:
    """A limit that is taken reads back as itself, for every KPI of the catalogue and for any own one."""
    with mistakes_only():
        assert parse_limit(str(parse_limit(text))) == parse_limit(text)
    for keywords in ({}, own, {**own, "allow_reversed": True}):
        with mistakes_only():
            read_gate((kpi, text), keywords)


@given(st.lists(OBJECTS, max_size=3), KPIS, GIVEN)
@fewer
def test_markers(args: list[Any], kpi: str, keywords: dict[str, Any]) -> None:
    """Whatever objects stand in a marker."""
    for given_args in ((kpi, *args), args):
        with mistakes_only():
            read_gate(given_args, keywords)


@given(st.dictionaries(st.sampled_from(sorted(RUN_KEYS)), PLAIN.map(str), max_size=3), st.text(max_size=20) | LIMITS)
@fewer
def test_options(run: dict[str, str], text: str) -> None:
    """Whatever text an option is given."""
    values = {f"modelbench_{key}": value for key, value in run.items()}
    _, told = resolve_settings([Given(values=values, where=lambda option: option.flag)])
    assert all(": found " in one and ", expected " in one for one in told)
    for read in (parse_spec, parse_tier, regression):
        try:
            read(text)
        except ValueError as error:
            check_told(error)


def toml(value: object) -> str:
    """Write a value as TOML; None has no form there, so it becomes a date."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return {"nan": "nan", "inf": "inf", "-inf": "-inf"}.get(str(value), repr(value))
    if isinstance(value, str):
        text = json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False)
        return text.replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
    return "2020-01-01" if value is None else str(value)


SPECS = st.one_of(st.sampled_from(("shop:load", "a.pt2", "", ":", "a" * 5000, "a\0b")), VALUES)
ENTRIES = st.one_of(
    LIMITS,
    st.lists(LIMITS, max_size=2),
    VALUES,
    st.dictionaries(st.sampled_from(("limits", "kpi", *KEYWORDS, "limit")), VALUES | LIMITS, max_size=4),
)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "models": VALUES
        | st.dictionaries(st.sampled_from(("teacher", "student", "students", "previous", "techer")), SPECS),
        "data": VALUES | st.dictionaries(st.sampled_from((*DATA_KEYS, "tsk")), VALUES, max_size=4),
        "run": VALUES | st.dictionaries(st.sampled_from((*RUN_KEYS, "thread")), VALUES, max_size=4),
        "kpi": VALUES | st.dictionaries(KPIS, ENTRIES, max_size=4),
        "kpis": VALUES,
    },
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Return a nearly right file, with heads or inline, and sometimes with a piece that belongs elsewhere."""
    lines = []
    for name, value in draw(TABLES).items():
        if isinstance(value, dict) and draw(st.booleans()):
            lines += [draw(st.sampled_from(("[{}]", "[ {} ] # c"))).format(name)]
            lines += [f"{toml(key)} = {toml(one)}" for key, one in value.items()]
        else:
            lines.insert(0, f"{name} = {toml(value)}")
    text = "\n".join(lines)
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.text(max_size=4) | st.sampled_from(("[", "'''", "=", "\r", "[" * 3000, "9" * 5000)))
            + text[at:]
        )
    return text


def read_all(text: str) -> list[str]:
    """Read a file and its gates, as collection does; return the mistakes."""
    sla, told, _ = read_sla(text, "m.toml", ".")
    for entry in sla.kpis:
        try:
            read_gate((entry.kpi, *entry.limits), entry.options)
        except UsageMistake as mistake:
            told.append(f"m.toml:{entry.line}: {mistake}")
    return told


@given(documents() | st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: raw.decode("utf-8", "replace")))
@fuzzed
def test_toml(text: str) -> None:
    """Every mistake has a line that the file has."""
    lines = text.count("\n") + 1
    for told in read_all(text):
        place, line, words = told.split(":", 2)
        assert (place, 1 <= int(line) <= lines, bool(words.strip())) == ("m.toml", True, True)


RUN_SCHEMA, DATA_SCHEMA = (
    jsonschema.Draft202012Validator({**sla_schema()["properties"][name], "$defs": sla_schema()["$defs"]})
    for name in ("run", "data")
)


@given(
    st.dictionaries(
        st.sampled_from(sorted(RUN_KEYS)), PLAIN | st.sampled_from(("cpu", "5%", "fail", 0.95)), max_size=2
    ),
    st.dictionaries(st.sampled_from(sorted(DATA_KEYS)), PLAIN | st.lists(PLAIN, max_size=2), max_size=2),
)
@fewer
def test_reader_and_schema_agree(run: dict[str, Any], data: dict[str, Any]) -> None:
    """What the shipped schema refuses in [run] and [data] is a mistake of the reader's."""
    data = {"eval": "a:b", **data}
    text = "".join(
        f"[{name}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in table.items())
        for name, table in (("run", run), ("data", data))
    )
    table = tomllib.loads(text)
    _, told, _ = read_sla(f"{text}[kpi]\nf1 = '>= 1%'\n", "m.toml", ".")
    fits = RUN_SCHEMA.is_valid(table["run"]) and DATA_SCHEMA.is_valid(table["data"])
    assert fits or told


READING = {
    "value": 2.0, "unit": "ms", "ci_low": 1.5, "ci_high": 2.5, "confidence": 0.95, "n": 20, "provenance": "measured",
    "method": "timed",
}  # fmt: skip
REFERENCE = {
    "kind": "teacher",
    "hash": "torch:abc",
    "ratio": 0.5,
    "ci_low": 0.4,
    "ci_high": 0.6,
    "settings": {"threads": 1},
}
REPORT = {
    "schema_version": "1",
    "environment": {"cpu": "x"},
    "settings": {"confidence": None},
    "data": {"suite": {"hash": "d", "form": "f"}},
    "gates": [
        {
            "nodeid": f"test_a.py::test_{kpi}", "kpi": kpi, "student": "student", "suite": "suite", "verdict": "pass",
            "reason": "", "options": {"batch_size": 1}, "readings": {"student": {**READING, "unit": unit}},
            "reference": REFERENCE, "better": "lower",
        }
        for kpi, unit in (("latency_p50", "ms"), ("top1_accuracy", "%"), ("clicks", ""))
    ],
}  # fmt: skip


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from nodes(one, (*path, key))


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """Return a JSON value with a few of its parts replaced, left out or repeated."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        paths = list(nodes(value))
        if not paths:
            break
        *above, last = draw(st.sampled_from(paths))
        parent = value
        for key in above:
            parent = parent[key]
        change = draw(st.sampled_from(("replace", "leave out", "repeat")))
        if change == "leave out":
            del parent[last]
        elif change == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        else:
            parent[last] = draw(VALUES)
    return value


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes of which some are gone, doubled or others."""
    start = draw(st.integers(0, len(whole)))
    end = min(len(whole), start + draw(st.integers(0, 40)))
    return whole[:start] + draw(st.binary(max_size=4)) + whole[draw(st.sampled_from((start, end, len(whole)))) :]


REPORTS = st.one_of(
    changed(REPORT).map(lambda value: json.dumps(value).encode()),
    damaged(json.dumps(REPORT).encode()),
    st.binary(max_size=60),
    st.sampled_from(
        (b"[" * 100_000, b'{"schema_version": ' + b"9" * 5000 + b"}", b'{"schema_version": "1", "gates": 1e999}')
    ),
)


@given(REPORTS)
@fewer
def test_baselines(folder: Path, content: bytes) -> None:
    """Every gate of a damaged report is compared in both directions, or the report is refused."""
    path, good = folder / "bad.json", folder / "good.json"
    path.write_bytes(content)
    good.write_text(json.dumps(REPORT))
    for pair in ((good, path), (path, good)):
        with mistakes_only():
            render_comparison(compare_reports(pair, limit=0.05), width=80, colour=True)


def contract_parts() -> dict[str, bytes]:
    """Return the files of a good contract, of labels with ids and of logits without."""
    array = np.random.default_rng(0).normal(size=(6, 3))
    recorded = []
    for outputs, ids in ((array, None), (np.array(["a", "b", "c"] * 2), [f"id {n}" for n in range(6)])):
        known: Any = range(6) if ids is None else ids
        kept = Outputs(
            model="teacher", array=outputs, targets=np.arange(6) % 3, ids=known, nonfinite=np.zeros(6, dtype=np.int32),
            input_finite=np.ones(6, dtype=bool), classes=None, calls=1,
        )  # fmt: skip
        data = EvalData(np.arange(6.0)[:, None], np.arange(6) % 3, ids=ids)
        spot = {} if ids is None else data.row_hashes()
        recorded.append(RecordedData(outputs=kept, key=data.fingerprint(), reading=data.reading, spot=spot))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.mbc"
        write_contract(Recorded(data=recorded), path, {}, {})
        with zipfile.ZipFile(path) as file:
            parts = {name: file.read(name) for name in file.namelist()}
    told = json.loads(parts[TEXT])
    told["readings"] = [
        {"kpi": "latency_p50", "pillar": "efficiency", "options": {}, "data": 0, "reading": READING, "reference": REFERENCE,
         "settings": {}, "test": ""}
    ]  # fmt: skip
    return {**parts, TEXT: json.dumps(told).encode()}


PARTS = contract_parts()


def zipped(parts: dict[str, bytes]) -> bytes:
    """Return a contract of these files, whose digest is right."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, one in {**parts, DIGEST: hashlib.sha256(parts[TEXT]).hexdigest().encode()}.items():
            file.writestr(name, one)
    return content.getvalue()


def with_digests(told: Any, parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with the digests of their parts in the text, where it still names them."""
    with contextlib.suppress(KeyError, TypeError, AttributeError, IndexError):
        for one in told["data"]:
            for part in one["parts"]:
                part["sha256"] = hashlib.sha256(parts[part["name"]]).hexdigest()
    return {**parts, TEXT: json.dumps(told).encode()}


@st.composite
def contracts(draw: st.DrawFn) -> bytes:
    """Return a contract that was changed in its text, in one of its parts with the digest made right, or anywhere."""
    told = json.loads(PARTS[TEXT])
    kind = draw(st.sampled_from(("text", "part", "bytes")))
    if kind == "text":
        return zipped({**PARTS, TEXT: json.dumps(draw(changed(told))).encode()})
    if kind == "bytes":
        return draw(damaged(zipped(PARTS)))
    name = draw(st.sampled_from(sorted(set(PARTS) - {TEXT, DIGEST})))
    return zipped(with_digests(told, {**PARTS, name: draw(damaged(PARTS[name]))}))


@given(contracts())
@fewer
def test_contracts(folder: Path, content: bytes) -> None:
    """Its readings and its outputs are had, or it is refused as altered."""
    path = folder / "bad.mbc"
    path.write_bytes(content)
    data = EvalData(np.arange(6.0)[:, None], np.arange(6) % 3)
    student = Outputs(
        model="student", array=np.zeros((6, 3)), targets=np.arange(6) % 3, ids=range(6),
        nonfinite=np.zeros(6, dtype=np.int32), input_finite=np.ones(6, dtype=bool), classes=None, calls=1,
    )  # fmt: skip
    with mistakes_only():
        contract = Contract.open(path)
        contract.told_briefly()
        contract.reading("latency_p50", "ms", {}, data, {})
        with mistakes_only(DataError):
            contract.outputs_for(student, data)
        for number, one in enumerate(contract.told["data"]):
            with mistakes_only(DataError):
                contract.load(number) if one["parts"] else None
