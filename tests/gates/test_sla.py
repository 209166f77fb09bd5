"""Reading modelbench.toml: lines, models, data, settings, KPIs, and every mistake with its line."""

from __future__ import annotations

import importlib
import json
import tomllib
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_modelbench
from pytest_modelbench.data.arguments import OUTPUTS
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.shards.sharded import ShardedData
from pytest_modelbench.data.tasks.boxes import FORMATS
from pytest_modelbench.data.tasks.names import ALL_TASKS, ARGUMENTS, OF_ONE_TASK, OWN_CLASSES, tasks_with
from pytest_modelbench.gates.sla import RUN_KEYS, read_sla
from pytest_modelbench.gates.sla_data import DATA_CHOICES, DATA_KEYS
from pytest_modelbench.gates.sla_schema import sla_schema
from pytest_modelbench.gates.toml_lines import line_of_each_key

WHOLE = """\
# the agreement
[models]
teacher = "shop:load_teacher"

[models.students]
distilled = "shop:load_student"
"int8" = "int8.pt2"

[data]
eval = "shop:test_set"
task = "multiclass"
classes = ["a", "b"]

[run]
threads = 1

[kpi]
parameters = "reduction >= 85%"
latency_p99 = [
    "<= 120 ms",    # an absolute bound
    "reduction >= 50%",
]
[kpi.in_batches]
kpi = "latency_p50"
limits = "<= 1 s"
batch_size = 8
"""


def test_everything_is_read() -> None:
    """Models and data by fixture, settings by option, KPIs in their order with their lines."""
    sla, mistakes, is_toml = read_sla(WHOLE, "modelbench.toml", "/home")
    assert (mistakes, is_toml) == ([], True)
    assert [(spec.name, spec.spec, spec.folder) for spec in sla.named["student_model"]] == [
        ("distilled", "shop:load_student", "/home"),
        ("int8", "int8.pt2", "/home"),
    ]
    (teacher,), (data,) = sla.named["teacher_model"], sla.named["eval_data"]
    assert (teacher.name, teacher.where) == (None, "modelbench.toml:3")
    assert data.reading == (("task", "multiclass"), ("classes", ("a", "b")))
    assert sla.run == {"modelbench_threads": 1}
    assert [(entry.name, entry.kpi, entry.limits, dict(entry.options), entry.line) for entry in sla.kpis] == [
        ("parameters", "parameters", ("reduction >= 85%",), {}, 18),
        ("latency_p99", "latency_p99", ("<= 120 ms", "reduction >= 50%"), {}, 19),
        ("in_batches", "latency_p50", ("<= 1 s",), {"batch_size": 8}, 23),
    ]


@given(
    st.dictionaries(st.text("abcdef_", min_size=1), st.sampled_from(["1", '"= [x]"', "[\n 1,\n]", "'''\nk = 1\n'''"]))
)
def test_every_key_has_the_line_it_is_written_on(table: dict[str, str]) -> None:
    """However values are folded, and whatever looks like a key inside of them."""
    text = "[top]\n# c = 1\n"
    expected: dict[tuple[str, ...], int] = {("top",): 1}
    for key, value in table.items():
        expected["top", key] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    assert line_of_each_key(text, tomllib.loads(text)) == expected


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[kpi\n", "m.toml:1: this is not valid TOML: Expected ']' at the end of a table declaration"),
        ("[kpi]\na = \n", "m.toml:2: this is not valid TOML: Invalid value"),
        ("", "m.toml:1: there is no table [kpi], so nothing is judged"),
        ("[kpi]\n", "m.toml:1: the table [kpi] is empty, so nothing is judged"),
        ("[kpis]\n[kpi]\na=''", "m.toml:1: unknown table 'kpis'; did you mean 'kpi'?"),
        ("kpi = 3", "m.toml:1: kpi is an integer (3), expected a table: [kpi]"),
        ("[kpi]\nf1 = 3", "m.toml:2: the limits of f1 are an integer (3), expected a string or an array of strings"),
        ("[kpi]\n'latency_p99.9' = ''", "m.toml:2: 'latency_p99.9' cannot name an item: use letters, digits"),
        ("[kpi]\npytest_setup = ''", "m.toml:2: 'pytest_setup' cannot name an item"),
        ("[kpi.a]\nkpi = 1", "m.toml:1: kpi of a is an integer (1), expected a string"),
        (
            "[models]\nteachr = 'a:b'\n[kpi]\nf1=''",
            "m.toml:2: unknown key 'teachr' in [models]; did you mean 'teacher'?",
        ),
        (
            "[models]\nteacher = 3\n[kpi]\nf1=''",
            "m.toml:2: teacher is an integer (3), expected a string: module:factory",
        ),
        ("[models]\nteacher = ' '\n[kpi]\nf1=''", "m.toml:2: teacher is ' ', expected a string: module:factory"),
        ("[models]\nstudents = 'a:b'\n[kpi]\nf1=''", "m.toml:2: models.students is 'a:b', expected a table"),
        ("[models]\nstudent='a:b'\nstudents.c='a:b'\n[kpi]\nf1=''", "m.toml:2: both student and [models.students]"),
        (
            "[data]\ntask = 'binary'\n[kpi]\nf1=''",
            'm.toml:1: [data] has no eval. Write eval = "module:factory" or eval = "prompts.jsonl"',
        ),
        ("[data]\neval='a:b'\nbatch_size = true\n[kpi]\nf1=''", "m.toml:3: batch_size is a boolean (True), expected"),
        (
            "[data]\neval='a:b'\nload='a:c'\n[kpi]\nf1=''",
            'm.toml:3: load is for data in shards. Write shards = ["data/*.parquet"], or remove load',
        ),
        (
            "[data]\neval='a:b'\nshards='d/*'\n[kpi]\nf1=''",
            "m.toml:3: both eval and shards are in [data]. Write one of them",
        ),
        ("[data]\nshards=[1]\n[kpi]\nf1=''", "m.toml:2: shards is [1], expected an array of strings"),
        (
            "[data]\neval='a:b'\ntsk = 'x'\n[kpi]\nf1=''",
            "m.toml:3: unknown key 'tsk' in [data]; did you mean 'task'?",
        ),
        (
            "[data]\neval='a:b'\nignore_index = 255\n[kpi]\nf1=''",
            'm.toml:3: ignore_index is for segmentation or tagging. Write task = "segmentation" or task = "tagging"',
        ),
        (
            "[data]\neval='a:b'\ntask='detection'\nignore_index = 255\n[kpi]\nf1=''",
            "m.toml:4: ignore_index is for segmentation or tagging, and the task is detection. Remove ignore_index",
        ),
        (
            "[data]\neval='a:b'\ntask='detection'\nnormalized = 1\n[kpi]\nf1=''",
            "m.toml:4: normalized is an integer (1)",
        ),
        (
            "[data]\neval='a:b'\ntask='detecton'\nbox_format='xywh'\n[kpi]\nf1=''",
            "m.toml:3: task is 'detecton', expected",
        ),
        (
            "[data]\neval='a:b'\ntask='detection'\nscore_threshold = 2\n[kpi]\nf1=''",
            "m.toml:4: score_threshold is 2, exp",
        ),
        (
            "[data]\neval = 'a:b'\nteacher = 'a:b'\n[kpi]\nf1=''",
            "m.toml:3: unknown key 'teacher' in [data]: it is a key of [models]. Move it there",
        ),
        ("[run]\nthread = 1\n[kpi]\nf1=''", "m.toml:2: unknown key 'thread' in [run]; did you mean 'threads'?"),
    ],
)
def test_mistake_has_its_line_and_what_to_write(text: str, mistake: str) -> None:
    """One mistake each, at the line where it is written."""
    _, mistakes, _ = read_sla(text, "m.toml", ".")
    assert len(mistakes) == 1
    assert mistakes[0].startswith(mistake)


def test_mistakes_come_in_the_order_of_the_file() -> None:
    """All of them, sorted by line."""
    text = "[run]\nx = 1\n[models]\ny = 'a:b'\n[kpi]\nf1 = 3\n[zoo]\n"
    _, mistakes, _ = read_sla(text, "m.toml", ".")
    assert [mistake.split(": ")[0] for mistake in mistakes] == ["m.toml:2", "m.toml:4", "m.toml:6", "m.toml:7"]


@pytest.mark.parametrize("formats", ['["onnx", "openvino", "onnx"]', '"onnx, openvino"'])
def test_formats_are_an_array_or_a_string(formats: str) -> None:
    """Both mean the same for a student and for the whole file; a format that is named twice counts once."""
    text = f"""
[models.students.small]
model = "shop:load"
deploy = {formats}
[run]
deploy = {formats}
[kpi]
parameters = "<= 10"
"""
    sla, mistakes, _ = read_sla(text, "modelbench.toml", "/home")
    assert not mistakes
    assert [student.deploy for student in sla.named["student_model"]] == [("onnx", "openvino")]
    assert sla.run["modelbench_deploy"].replace(" ", "").startswith("onnx,openvino")


@pytest.mark.parametrize("formats", ["[]", '[""]', '""', "[1]"])
def test_formats_that_name_nothing_are_a_mistake(formats: str) -> None:
    """An empty array would deploy nothing, silently."""
    text = f'[models.students.small]\nmodel = "shop:load"\ndeploy = {formats}\n[kpi]\nparameters = "<= 10"\n'
    _, (mistake,), _ = read_sla(text, "modelbench.toml", "/home")
    assert mistake.startswith("modelbench.toml:3: deploy is ")
    assert mistake.endswith('expected an array of formats, such as ["onnx"]')


def test_schema_file_is_what_the_code_says() -> None:
    """The shipped file is generated: `python docs/generate.py`."""
    shipped = Path(pytest_modelbench.__file__).parent / "modelbench.schema.json"
    assert json.loads(shipped.read_text()) == sla_schema()
    jsonschema.Draft202012Validator.check_schema(sla_schema())


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (WHOLE, True),
        ("[kpi.own]\nmetric = 'f1_macro'\nlimits = '>= 0.5'", True),
        ("[kpi]\nf1 = 3", False),
        ("[kpi]\nparameters = {limits = '<= 1', batch_size = 3}", False),
        ("[kpi.own]\nlimits = '>= 0.5'", False),
        ("[run]\ninconclusive = 'pass'\n[kpi]\nf1 = ''", False),
        ("[rum]\n[kpi]\nf1 = '>= 1%'", False),
        ("[models]\nstudent = 'a:b'\nprevious = 'a:c'\n[kpi]\nf1 = 'regression <= 5%'", True),
        ("[run]\nfail_on_regression = '5%'\n[kpi]\nf1 = '>= 1%'", True),
        ("[run]\nfail_on_regression = 5\n[kpi]\nf1 = '>= 1%'", False),
        ("[models]\nstudent = 'a:b'", True),
        ("[data]\neval = 'a:b'\nmissing = 'exclude'\nbins = [30, 50.5]\n[kpi]\nf1 = '>= 1%'", True),
        ("[data]\neval = 'a:b'\nmissing = 'drop'\n[kpi]\nf1 = '>= 1%'", False),
        ("[kpi]\ngroup_accuracy_gap = {limits = '<= 5 pp', bins = {age = 4}, missing = 'group'}", True),
        ("[kpi]\ngroup_accuracy_gap = {limits = '<= 5 pp', bins = 1}", False),
        ("[data]\neval = 'p.jsonl'\nmax_new_tokens = 8\nstop = ['x']\n[kpi]\nf1 = '>= 1%'", True),
        ("[data]\neval = 'a:b'\ntask = 'text'\nchat = 'never'\n[kpi]\nf1 = '>= 1%'", True),
        ("[data]\neval = 'a:b'\nchat = 'never'\n[kpi]\nf1 = '>= 1%'", False),
        ("[data]\neval = 'p.jsonl'\noutputs = 'labels'\n[kpi]\nf1 = '>= 1%'", False),
        ("[data]\neval = 'p.jsonl'\ntask = 'binary'\n[kpi]\nf1 = '>= 1%'", False),
        ("[data]\neval = 'a:b'\ntask = 'detection'\nnormalized = true\nscore_threshold = 0.5", True),
        ("[data]\neval = 'a:b'\ntask = 'tagging'\nignore_index = -100", True),
        ("[data]\neval = 'a:b'\ntask = 'forecasting'\nquantiles = [0.1, 0.5]\nseason = 24", True),
        ("[data]\neval = 'a:b'\nseason = 24", False),
        ("[data]\neval = 'a:b'\ntask = 'detection'\nignore_index = 255", False),
        ("[data]\neval = 'a:b'\ntask = 'detection'\nscore_threshold = 2", False),
        ("[data]\nshards = ['d/*.parquet']\ntask = 'binary'\nids = 'key'\nload = 'a:b'\nmanifest = 'm.json'", True),
        ("[data]\nshards = 'd/*.parquet'\ntask = 'binary'", True),
        ("[data]\nshards = 'd/*.parquet'", False),
        ("[data]\nshards = [1]\ntask = 'binary'", False),
        ("[data]\nshards = []\ntask = 'binary'", False),
        ("[data]\nshards = 'd/*.parquet'\neval = 'a:b'\ntask = 'binary'", False),
        ("[data]\neval = 'a:b'\nload = 'a:b'", False),
        ("[data]\neval = 'p.jsonl'\nmax_new_tokens = 0\n[kpi]\nf1 = '>= 1%'", False),
    ],
)
def test_schema_knows_right_from_wrong(text: str, fits: bool) -> None:
    """What the reader takes fits the schema, and what it refuses does not."""
    validator = jsonschema.Draft202012Validator(sla_schema())
    assert validator.is_valid(tomllib.loads(text)) is fits


@pytest.mark.parametrize("task", OWN_CLASSES)
def test_table_of_arguments_is_that_of_the_classes(task: str) -> None:
    """The arguments of each task are those that its class takes beyond those of all tasks."""
    module, name = OWN_CLASSES[task].split(":")
    if not find_spec(module):
        pytest.skip(f"there is no {module}")
    takes = set(getattr(importlib.import_module(module), name).__init__.__annotations__)
    plain, others = ARGUMENTS[task]
    common = {*EvalData.__init__.__annotations__, "own", "group", "collate", "common", "unknown"}
    assert takes - common == {*plain, *others}
    assert all(tasks_with(argument) == (own,) for argument, own in OF_ONE_TASK.items())


def test_keys_of_data_and_run_are_those_that_exist() -> None:
    """Every key of [data] is an argument of EvalData or of a task's class, every key of [run] an option."""
    arguments = {*EvalData.__init__.__annotations__, *ShardedData.__init__.__annotations__}
    of_tasks = {key for plain, _ in ARGUMENTS.values() for key in plain}
    assert set(DATA_KEYS) == {"eval", *of_tasks} | (set(DATA_KEYS) & arguments)
    assert (DATA_CHOICES["task"], DATA_CHOICES["outputs"], DATA_CHOICES["box_format"]) == (
        ALL_TASKS,
        OUTPUTS,
        FORMATS,
    )
    known = {"threads", "budget", "device", "seed", "inconclusive", "allocator", "confidence"}
    later = {"country", "grid_intensity", "energy_window", "reference", "fail_on_regression", "deploy", "diagnose"}
    later |= {"engine", "workers", "shards", "num_gpus"}
    assert known | later == set(RUN_KEYS)
