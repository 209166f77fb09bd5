"""The teacher as a contract: recorded once, then students are judged without it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import GONE, IDS, QUALITY, SUITE, data, record, rewrite
from safetensors.numpy import load
from suites import FAKES, Judge


def test_the_same_verdicts_without_the_teacher(judge: Judge) -> None:
    """Quality, fidelity, calibration, fairness, footprint: values, intervals and reasons are those with the teacher."""
    with_teacher = judge(SUITE, more=data())
    assert with_teacher.result.ret == 0, with_teacher.text
    recorded = record(judge)
    assert recorded.result.ret == 0, recorded.text
    assert recorded.report["models"]["students"] == {}
    finished = judge(SUITE, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert finished.result.ret == 0, finished.text
    then = {gate["kpi"]: gate for gate in with_teacher.report["gates"]}
    now = {gate["kpi"]: gate for gate in finished.report["gates"]}
    timed = {"latency_p50"}
    for kpi in set(then) - timed:
        assert now[kpi]["limits"] == then[kpi]["limits"], kpi
        assert without_time(now[kpi]["readings"]["teacher"]) == without_time(then[kpi]["readings"]["teacher"])
    assert now["latency_p50"]["limits"][0]["value"] == pytest.approx(0.6)
    assert now["latency_p50"]["readings"]["teacher"]["value"] == pytest.approx(1.0)
    assert finished.report["models"]["teacher"]["kind"] == "fake"
    assert finished.report["contract"]["environment"] == recorded.report["environment"]
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 1


def without_time(reading: Any) -> Any:
    return reading and {**reading, "method": reading["method"].partition(" resamples in ")[0]}


def test_recording_measures_the_teacher_alone(judge: Judge) -> None:
    """No student is needed; limits judge nothing; the summary says what was written."""
    alone = FAKES.replace("def student_model():\n    return STUDENT", "def other_model():\n    return STUDENT")
    finished = record(judge, fakes=alone)
    assert finished.result.ret == 0, finished.text
    finished.result.stdout.fnmatch_lines(
        ["teacher, for a contract", "contract: teacher.mbc (*readings, 200 samples)"]
    )
    assert set(finished.verdicts.values()) == {"reported"}
    assert finished.gate("parameters")["readings"]["teacher"]["value"] == 100_000
    assert finished.gate("parameters")["readings"]["student"] is None
    assert finished.report["models"]["teacher"]["forward_passes"] == 1
    with zipfile.ZipFile("teacher.mbc") as file:
        assert {Path(name).suffix for name in file.namelist()} == {".json", ".sha256", ".safetensors"}
        told = json.loads(file.read("contract.json"))
        arrays = load(file.read(told["data"][0]["parts"][0]["name"]))
    assert {one["kpi"] for one in told["readings"]} >= {"parameters", "latency_p50", "top1_accuracy"}
    assert arrays["outputs"].shape == (200, 10)


def test_what_is_about_the_deployed_student_is_not_recorded(judge: Judge) -> None:
    """The teacher was made from no other model, and nobody asks whether it can be exported."""
    gates = """
@pytest.mark.kpi("parity", "<= 1e-4")
@pytest.mark.kpi("export", "includes onnx")
def test_deployed(): ...
"""
    finished = record(judge, SUITE + gates)
    assert finished.result.ret == 0, finished.text
    assert [finished.gate(kpi)["verdict"] for kpi in ("parity", "export")] == ["not_applicable"] * 2
    assert "about how the student is deployed" in finished.gate("export")["reason"]


def test_another_machine(judge: Judge) -> None:
    """Timings of it are no evidence, footprint and quality are; a workload that both have timed can stand between."""
    record(judge)
    rewrite(lambda told: told["environment"].update(processor="another one"))
    finished = judge(SUITE, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    gate = finished.gate("latency_p50")
    assert [limit["verdict"] for limit in gate["limits"]] == ["not_applicable", "pass"]
    assert gate["verdict"] == "not_applicable"
    assert "another machine or with other settings (processor another one, here " in gate["reason"]
    assert finished.gate("parameters")["verdict"] == "pass"
    through = ("--modelbench-contract=teacher.mbc", "--modelbench-reference=workload")
    slow = "class Slow(FakeClock):\n    def advance(self, ns):\n        super().advance(1.7 * ns)\n\nCLOCK = Slow()\n"
    saving = judge(SUITE, through[0], "--modelbench-save-baseline=b.json", more=data() + GONE)
    assert (
        saving.gate("latency_p50")["limits"][0]["verdict"] == "not_applicable"
    )  # timed beside it, and not asked for
    finished = judge(SUITE, *through, more=data() + GONE + slow + "STUDENT = student()\n")
    gate = finished.gate("latency_p50")
    assert gate["verdict"] == "pass"
    assert gate["limits"][0]["value"] == pytest.approx(0.6)
    assert any("through the reference workload" in note for note in gate["notes"])


SHUFFLED = """
@pytest.fixture(scope="session")
def eval_data():
    order = np.random.default_rng(0).permutation(ROWS)
    return EvalData(INPUTS[order], TARGETS[order], ids=[f"s{i}" for i in order])
"""


def test_paired_by_id(judge: Judge) -> None:
    """Samples that have names may come in another order."""
    record(judge, QUALITY, more=data(IDS))
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=SHUFFLED + GONE)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    assert finished.gate("agreement")["readings"]["student"]["value"] == 99


def evaluation(code: str) -> str:
    return f'@pytest.fixture(scope="session")\ndef eval_data():\n    return {code}\n'


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(INPUTS[:50], TARGETS[:50])",
            "teacher.mbc is for 200 samples, and here are 50",
        ),
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(INPUTS[::-1].copy(), TARGETS[::-1].copy())",
            "is for other targets, or another order: sample 0 has 0 there and 9 here.",
        ),
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(INPUTS, np.where(np.arange(ROWS) == 150, 7, TARGETS))",
            "is for other targets, or another order: sample 150 has 0 there and 7 here.",
        ),
        (
            "EvalData(INPUTS, TARGETS, ids=[f's{i}' for i in range(ROWS)])",
            "EvalData(INPUTS, TARGETS, ids=[f't{i}' for i in range(ROWS)])",
            "teacher.mbc does not have 200 of the samples here, such as 't0'",
        ),
        (
            "EvalData(INPUTS, TARGETS, ids=[f's{i}' for i in range(ROWS)])",
            "EvalData(INPUTS, TARGETS, ids=[f's{i % 199}' for i in range(ROWS)])",
            "the evaluation data has the id 's0' more than once: samples cannot be paired by it",
        ),
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(INPUTS, TARGETS, ids=[f's{i}' for i in range(ROWS)])",
            "teacher.mbc names no samples, unlike the evaluation data here",
        ),
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(np.where(np.arange(ROWS)[:, None] == 199, 3.0, INPUTS), TARGETS)",
            "teacher.mbc is for other inputs: or these in another order. Record it again with",
        ),
        (
            "EvalData(INPUTS, TARGETS)",
            "EvalData(INPUTS, TARGETS, outputs='logits')",
            "was recorded with other output settings (task, outputs, select, classes): recorded 'None|None|None|None', this session 'None|",
        ),
    ],
    ids=["fewer", "another order", "targets", "ids", "duplicates", "no ids", "inputs", "reading"],
)
def test_other_data(judge: Judge, then: str, now: str, words: str) -> None:
    """Refused, saying what differs."""
    record(judge, QUALITY, more=evaluation(then))
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=evaluation(now) + GONE)
    assert set(finished.verdicts.values()) == {"error"}
    assert words in finished.gate("agreement")["reason"]


def test_duplicate_ids_cannot_be_recorded(judge: Judge) -> None:
    """Nothing could be paired by them later."""
    more = evaluation("EvalData(INPUTS, TARGETS, ids=[f's{i % 199}' for i in range(ROWS)])")
    finished = judge(QUALITY, "--modelbench-record-contract=teacher.mbc", more=more)
    assert finished.result.ret == 1
    assert "the id 's0' names more than one sample" in finished.gate("agreement")["reason"]


def test_other_classes(judge: Judge) -> None:
    """A student that tells other classes apart than the recorded teacher."""
    record(judge, QUALITY)
    more = data() + "STUDENT = student(outputs=lambda batch: answers(4)(batch)[:, :5] + 0.0)\n" + GONE
    more = more.replace("TARGETS,", "TARGETS % 5,")
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=more)
    assert finished.gate("agreement")["verdict"] == "error"


def test_what_a_contract_does_not_have(judge: Judge) -> None:
    """A gate that was not recorded, or with other options, is an error; reporting needs no teacher's value."""
    record(judge, QUALITY)
    suite = """
    import pytest

    @pytest.mark.kpi("parameters", "reduction >= 50%")
    def test_missing(): ...

    @pytest.mark.kpi("latency_p50", "<= 1 s")
    def test_absolute(): ...
    """
    finished = judge(suite, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert finished.gate("parameters")["verdict"] == "error"
    assert "has no parameters of the teacher. Record it again" in finished.gate("parameters")["reason"]
    assert finished.gate("latency_p50")["verdict"] == "pass"


def test_what_needs_the_teacher_itself(judge: Judge) -> None:
    """A test that calls it is skipped with the reason, and never builds it; edge cases go on without it."""
    record(judge, QUALITY)
    suite = (
        QUALITY
        + """
def test_own(teacher, student):
    raise AssertionError("never")

def test_edges(student, edge_case):
    student.check_finite(edge_case)

@pytest.mark.kpi("clicks", "drop <= 5%", better="higher", unit="")
def test_clicks(kpi, student):
    kpi.record(student=95)
"""
    )
    record(judge, suite.replace("record(student=95)", "record(teacher=96, student=95)"))
    finished = judge(suite, "--modelbench-contract=teacher.mbc", "-rs", more=data() + GONE)
    outcomes = {test["nodeid"].partition("::")[2]: test["outcome"] for test in finished.report["tests"]}
    assert outcomes["test_own"] == "skipped"
    assert outcomes["test_clicks"] == "passed", finished.text
    assert finished.gate("clicks")["limits"][0]["value"] == pytest.approx(1 / 96)
    assert outcomes["test_edges[zeros]"] == "passed"
    finished.result.stdout.fnmatch_lines(["*it needs the teacher itself, and this session has only its contract*"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def alter(path: Path) -> None:
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        files = {name: file.read(name) for name in file.namelist()}
    files["contract.json"] = files["contract.json"].replace(b'"samples": 200', b'"samples": 201')
    assert whole
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)


def empty_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "cannot read * No such file or directory. Record it again with *"),
        (lambda path: path.write_bytes(b""), "teacher.mbc is empty. Record it again with *"),
        (cut, "teacher.mbc is not a contract, or only a part of one. Record it again with *"),
        (lambda path: path.write_text("{}"), "teacher.mbc is not a contract, or only a part of one.*"),
        (empty_zip, "teacher.mbc is not a contract of pytest-modelbench: it has no contract.json"),
        (alter, "teacher.mbc: contract.json was altered after it was written. *"),
        (
            lambda _: rewrite(lambda told: told.update(version="2")),
            "teacher.mbc is a contract of version '2', and this version of pytest-modelbench reads '1'. Update *",
        ),
    ],
    ids=["missing", "empty", "cut", "text", "zip", "altered", "newer"],
)
def test_a_file_that_is_no_contract(judge: Judge, damage: Any, words: str) -> None:
    """A mistake, told before anything runs."""
    record(judge, QUALITY)
    damage(Path("teacher.mbc"))
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert finished.result.ret == 4, finished.text
    finished.result.stderr.fnmatch_lines([f"ERROR: --modelbench-contract: *{words}"])


def test_altered_outputs(judge: Judge) -> None:
    """Found when they are read."""
    record(judge, QUALITY)
    with zipfile.ZipFile("teacher.mbc") as file:
        files = {name: file.read(name) for name in file.namelist()}
    (part,) = [name for name in files if name.endswith(".safetensors")]
    files[part] = files[part][:-8] + np.float64(3.0).tobytes()
    with zipfile.ZipFile("teacher.mbc", "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert "data-0/00000.safetensors was altered" in finished.gate("agreement")["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-n", "2"), "one process measures the teacher. Remove -n"),
        (("--modelbench-contract=teacher.mbc",), "nothing is judged while it is recorded. Remove the others"),
    ],
)
def test_mistaken_options(judge: Judge, options: tuple[str, ...], words: str) -> None:
    """Told before anything runs."""
    finished = judge(QUALITY, "--modelbench-record-contract=other.mbc", *options, more=data())
    assert finished.result.ret == 4
    assert words in finished.text


def test_without_a_teacher(judge: Judge) -> None:
    """There is nothing to record, and no file."""
    fakes = FAKES.replace("def teacher_model", "def other_model")
    finished = judge(QUALITY, "--modelbench-record-contract=teacher.mbc", more=data(), fakes=fakes)
    assert finished.result.ret == 1
    assert (
        "teacher_model is not defined: there is only the plugin's placeholder. Override it in conftest.py"
        in finished.text
    )
    assert not Path("teacher.mbc").exists()


def test_workers_and_suites(judge: Judge) -> None:
    """Workers read one contract; ready-made suites show the teacher's recorded values."""
    record(judge, QUALITY)
    options = ("--modelbench-contract=teacher.mbc", "--modelbench-suite=quality", "-n", "2")
    finished = judge("", *options, more=data() + GONE, process=True)
    assert finished.gate("top1_accuracy")["readings"]["teacher"]["value"] == 99
    assert finished.gate("agreement")["verdict"] == "reported"
    assert "error" not in finished.verdicts.values(), finished.text


TORCH = """
import pytest, torch
from torch import nn
from pytest_modelbench import EvalData

def net(width):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 4))

@pytest.fixture(scope="session")
def teacher_model():
    return net(400_000)

@pytest.fixture(scope="session")
def student_model():
    return net(64)

@pytest.fixture(scope="session")
def eval_data():
    inputs = torch.randn(60, 16, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(60) % 4
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=20)
"""
REAL = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 99 pp", confidence=0.9)
@pytest.mark.kpi("kl_divergence", "<= 100 nat")
@pytest.mark.kpi("agreement", ">= 1%")
@pytest.mark.kpi("flops", "reduction >= 90%")
@pytest.mark.kpi("parameters", "reduction >= 90%")
@pytest.mark.kpi("size_on_disk", "reduction >= 90%")
@pytest.mark.kpi("peak_memory", "<= 8 GB", "reduction >= 50%")
def test_all(): ...
"""


def test_real_modules_from_a_loader(judge: Judge) -> None:
    """Values that are counted and predicted are those with the teacher; memory is compared with what was recorded."""
    with_teacher = judge(REAL, fakes=TORCH)
    recorded = judge(REAL, "--modelbench-record-contract=teacher.mbc", fakes=TORCH)
    assert recorded.result.ret == 0, recorded.text
    finished = judge(REAL, "--modelbench-contract=teacher.mbc", fakes=TORCH, more=GONE)
    then = {gate["kpi"]: gate for gate in with_teacher.report["gates"]}
    now = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert {kpi: gate["verdict"] for kpi, gate in now.items()} == {kpi: gate["verdict"] for kpi, gate in then.items()}
    for kpi in set(then) - {"peak_memory"}:
        assert now[kpi]["limits"] == then[kpi]["limits"], kpi
    assert now["peak_memory"]["limits"][1]["verdict"] == "pass"
    assert now["peak_memory"]["readings"]["teacher"]["value"] > 25e6


TEXTS = """
WORDS = [f"text number {i}" for i in range(ROWS)]

def read(batch):
    return answers(0)(np.array([[float(one.split()[-1])] for one in batch]))

TEACHER, STUDENT = teacher(outputs=read), student(outputs=read)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(WORDS, outputs="logits", task="multiclass")
"""


def test_texts_are_told_apart(judge: Judge) -> None:
    """Other texts, without targets that could differ, are other inputs."""
    suite = QUALITY.replace('@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")\n', "")
    record(judge, suite, more=TEXTS)
    assert judge(suite, "--modelbench-contract=teacher.mbc", more=TEXTS + GONE).gate("agreement")["verdict"] == "pass"
    other = TEXTS.replace("for i in range(ROWS)]", "for i in reversed(range(ROWS))]")
    gate = judge(suite, "--modelbench-contract=teacher.mbc", more=other + GONE).gate("agreement")
    assert "is for other inputs" in gate["reason"]


def test_a_teacher_that_only_its_contract_represents_is_not_there(judge: Judge) -> None:
    """A test that asks whether there is a teacher gets the answer that asking for its model gives."""
    record(judge)
    suite = """
import pytest
from pytest_modelbench.errors import NotApplicable

@pytest.mark.kpi("parameters", "reduction >= 50%")
def test_parameters(kpi):
    assert not kpi.has("teacher")
    with pytest.raises(NotApplicable, match="only its contract"):
        kpi.candidate("teacher")
"""
    assert judge(suite, "--modelbench-contract=teacher.mbc", more=data()).result.ret == 0
