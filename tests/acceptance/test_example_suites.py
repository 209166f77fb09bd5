"""The example suite on its real models: it passes, and broken students fail for the right reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from suites import checked

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parent.parent.parent / "example_suites" / "digits"


FILES = ("test_sla.py", "modelbench.toml", "shipped.modelbench.toml")
NO_NETWORK = """
import socket

def refuse(*args, **keywords):
    raise AssertionError("something reached for the network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


def judge(folder: Path, *arguments: str, suite: Path = DIGITS) -> tuple[int, str, dict[str, Any]]:
    """Run the suite as a user would, without a network, and return exit code, output and report."""
    report = folder / "report.json"
    (folder / "no_network.py").write_text(NO_NETWORK)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--modelbench",
        f"--modelbench-json={report}",
        "--modelbench-energy-window=1",
        "-p",
        "no:cacheprovider",
        "-p",
        "no_network",
    ]
    finished = subprocess.run(
        [*command, *arguments], cwd=suite, env=environment, capture_output=True, text=True, check=False
    )
    return finished.returncode, finished.stdout, checked(json.loads(report.read_text()))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Judge the Python tests and the two files, which share their measurements; all pass.

    The file of the shipped students has settings of its own, and would time them again.
    """
    once = ("-k", "not (shipped.modelbench and latency)")
    status, output, found = judge(tmp_path_factory.mktemp("suite"), *once, *FILES)
    assert status == 0, output
    return found


def gates_of(report: dict[str, Any], *files: str) -> list[dict[str, Any]]:
    """Return the gates of some of the files."""
    return [gate for gate in report["gates"] if gate["nodeid"].partition("::")[0] in files]


def test_both_students_pass(report: dict[str, Any]) -> None:
    """The distilled and the pruned student keep the agreement; one forward pass of three batches each, and nine over corrupted digits."""
    assert set(report["models"]["students"]) == {"distilled", "pruned", "distilled@onnx", "pruned@onnx"}
    verdicts = Counter(gate["verdict"] for gate in gates_of(report, "test_sla.py"))
    assert verdicts == {"pass": 76, "reported": 2, "not_applicable": 2}  # parity of what the files were exported from
    assert report["models"]["teacher"]["forward_passes"] == 3 * (1 + 3 * 3)  # three corruptions at three severities
    assert {"latency_p50", "size_on_disk"} <= {axis["kpi"] for axis in report["tradeoff"]["axes"]}


def test_table_of_what_distilling_gained(report: dict[str, Any]) -> None:
    """All rows for both students, and for their files those that are judged; only students are exported."""
    rows = {row["name"]: row for row in report["distillation"]}
    assert len(rows) == 10
    for row in rows.values():
        judged = [row["students"][name] for name in ("distilled", "pruned")]
        assert all(one["value"] > 0 and one["verdict"] == "pass" for one in judged)
    ready = rows["deployment readiness"]["students"]
    assert [ready[name]["value"] for name in ("distilled", "pruned")] == [2, 2]
    assert ready["distilled@onnx"] is None
    assert rows["model size"]["students"]["distilled@onnx"]["verdict"] == "pass"
    assert (
        rows["energy per 1k queries"]["teacher"]["value"]
        > rows["energy per 1k queries"]["students"]["pruned"]["value"]
    )


def test_file_and_tests_agree(report: dict[str, Any]) -> None:
    """The two files and test_sla.py come to the same verdict on every limit that both have judged."""
    verdicts = [
        {
            (gate["student"], gate["kpi"], gate["options"].get("batch_size"), limit["text"]): limit["verdict"]
            for gate in gates_of(report, *files)
            for limit in gate["limits"]
        }
        for files in (FILES[:1], FILES[1:])
    ]
    assert len(verdicts[0]) == 78
    assert verdicts[1].items() <= verdicts[0].items()
    assert len(verdicts[1]) == 76


LOG_OF_INK = """
import torch
from models import load
from torch import nn

class LogOfInk(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = load("distilled")

    def forward(self, images):
        return self.inner(images) + torch.log(images.abs().sum(dim=(1, 2, 3))).unsqueeze(1)
"""


def test_edge_cases_of_the_teacher_and_of_a_student_with_a_logarithm(tmp_path: Path) -> None:
    """The teacher passes every case; log(0) fails the blank image, and nothing else of the edge cases."""
    (tmp_path / "log.py").write_text(LOG_OF_INK)
    outcomes = {}
    for name, spec in (("original", "models.py:load_teacher"), ("log", f"{tmp_path}/log.py:LogOfInk")):
        _, _, report = judge(tmp_path, "-k", "edge_cases", f"--modelbench-student={name}={spec}", "test_sla.py")
        outcomes[name] = {test["edge_case"]: test["outcome"] for test in report["tests"]}
    assert set(outcomes["original"].values()) == {"passed"}
    assert [case for case, outcome in outcomes["log"].items() if outcome != "passed"] == ["zeros"]


UNRELATED = "not memory and not cost and not export and not shipped and not attacked"
"""What the students cost, whether they export, and attacks, which take long, say nothing of how they are broken."""
WRONG = {
    "test_accuracy",
    "test_accuracy_beyond_this_data_set",
    "test_same_answers",
    "test_every_class",
    "test_no_digit_is_lost",
    "test_harder_images",
    "test_confidence",
}


def test_broken_students_fail_the_build(tmp_path: Path) -> None:
    """Exit code 1, for each student the items that name the cause, and no others."""
    students = {
        "wrong": (WRONG, "top1_accuracy of wrong: FAIL: >= 95% does not hold"),
        "twice": ({"test_latency"}, "latency_p50 of twice: FAIL: speedup >= 2.5x does not hold"),
        "neglects_nines": (
            {"test_same_answers", "test_no_digit_is_lost"},
            "class_drop of neglects_nines: FAIL: <= 8 pp does not hold",
        ),
        "nan_for_threes": (
            {*WRONG, "test_stability", "test_foreign_images"},
            "nonfinite_outputs of nan_for_threes: FAIL: == 0 does not hold",
        ),
    }
    given = [f"--modelbench-student={name}=broken.py:{name}" for name in students]
    status, output, report = judge(tmp_path, *given, "-k", UNRELATED, "test_sla.py")
    assert status == 1
    failed = {test["nodeid"] for test in report["tests"] if test["outcome"] == "failed" and "edge_case" not in test}
    failed -= {
        f"test_sla.py::test_latency[{name}]" for name in ("wrong", "nan_for_threes")
    }  # their fault costs time too
    assert failed == {f"test_sla.py::{test}[{name}]" for name, (failing, _) in students.items() for test in failing}
    for _, words in students.values():
        assert words in output
    neglects = {(gate["kpi"], gate["verdict"]) for gate in report["gates"] if gate["student"] == "neglects_nines"}
    assert {("top1_accuracy", "pass"), ("class_drop", "fail"), ("slice_drop", "fail")} < neglects
    assert ("negative_flip_rate", "fail") in neglects


BROKEN_EXPORTS = {
    "branches": ("onnx", "export", "torch.cond or torch.where"),
    "fixes_batch": ("openvino", "dynamic_batch", "without int(x.shape[0]) in the model"),
    "nan_once_exported": ("onnx", "parity", "code that only runs in an export"),
    "swaps_once_exported": ("onnx", "parity", "Return them in one order"),
}


def test_students_whose_files_are_broken_fail_the_build(tmp_path: Path) -> None:
    """Each at the named step with its remedy; the student in Python is right, and its file is never judged as right."""
    given = [f"--modelbench-student={name}=broken_exports.py:{name}" for name in BROKEN_EXPORTS]
    status, output, report = judge(tmp_path, *given, "test_sla.py::test_export", "test_sla.py::test_shipped")
    assert status == 1
    gates = {(gate["student"], gate["kpi"]): gate for gate in report["gates"]}
    for student, (target, step, remedy) in BROKEN_EXPORTS.items():
        gate = gates[student, "export"]
        failed = [row for row in gate["breakdown"] if row["status"] == "fail"]
        assert [(row["format"], row["step"]) for row in failed] == [(target, step)], student
        assert remedy in failed[0]["remedy"]
        assert gate["verdict"] == "fail"
        assert f"{target} is not ready: {step}: " in gate["reason"]
        assert gates[student, "agreement"]["verdict"] == "pass"
        assert gates[f"{student}@onnx", "agreement"]["verdict"] == ("error" if target == "onnx" else "pass")
    swapped = next(row for row in gates["swaps_once_exported", "export"]["breakdown"] if row["status"] == "fail")
    assert "'logits' holds the values of 'faint_logits'" in swapped["evidence"]
    assert "onnx is not ready: export: GuardOnDataDependentSymNode" in output
    assert any("followed one branch" in note for note in gates["branches", "export"]["notes"])


def test_int8_is_not_robust_because_it_has_no_gradient(tmp_path: Path) -> None:
    """Along its own gradient it survives everything, which passes nothing; along its parent's it fails."""
    student = "--modelbench-student=int8=broken.py:int8_hides_its_gradient"
    status, output, report = judge(tmp_path, "attacked_int8.py", student)
    assert status == 1, output
    pgd, robust = (
        next(gate for gate in report["gates"] if gate["kpi"] == kpi) for kpi in ("pgd_accuracy", "robust_accuracy")
    )
    assert pgd["readings"]["student"]["value"] >= 95
    assert robust["readings"]["student"]["value"] <= 75
    assert (pgd["verdict"], robust["verdict"]) == ("inconclusive", "fail")
    assert "no gradient comes back from int8" in pgd["reason"]


def test_fairness_suite(tmp_path: Path) -> None:
    """The distilled student is as fair as its teacher; the pruned one is not, though it is right more often."""
    suite = DIGITS.parent / "tabular_fairness"
    status, output, report = judge(tmp_path, suite=suite)
    assert status == 0, output
    assert len(report["gates"]) == 6
    assert (report["summary"]["pass"], report["summary"]["reported"]) == (5, 1)
    status, output, report = judge(
        tmp_path, "--modelbench-student=pruned=diabetes.py:pruned_until_unfair", suite=suite
    )
    assert status == 1
    failed = {test["nodeid"].partition("::")[2] for test in report["tests"] if test["outcome"] == "failed"}
    assert failed == {
        f"{test}[pruned]"
        for test in ("test_odds_of_the_sexes", "test_alarms_of_the_age_groups", "test_alarms_of_the_sexes")
    }
    accuracy = next(gate for gate in report["gates"] if gate["kpi"] == "top1_accuracy")["readings"]
    assert accuracy["student"]["value"] > accuracy["teacher"]["value"]


TEXT = DIGITS.parent / "text"


@pytest.fixture(scope="module")
def text_contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the text suite's teacher, which is trained where it is not there yet."""
    folder = tmp_path_factory.mktemp("text")
    contract = folder / "teacher.mbc"
    status, output, _ = judge(folder, f"--modelbench-record-contract={contract}", "-k", "not speed", suite=TEXT)
    assert status == 0, output
    assert "generations of" in output
    assert "likelihoods of" in output
    return contract


def test_text_suite_beside_its_teacher_and_by_contract(tmp_path: Path, text_contract: Path) -> None:
    """The distilled and the int8 student pass both ways, with the same values; broken ones fail for the right reason."""
    status, output, beside = judge(tmp_path, "-k", "not speed", suite=TEXT)
    assert status == 0, output
    assert Counter(gate["verdict"] for gate in beside["gates"]) == {"pass": 26, "reported": 2}
    assert beside["models"]["teacher"]["kind"] == "language model"
    both = [f"--modelbench-student={name}=models.py:load_{name}" for name in ("distilled", "int8")]
    broken = [f"--modelbench-student={name}=broken.py:{name}" for name in ("coarse", "stops_early")]
    _, output, alone = judge(
        tmp_path, f"--modelbench-contract={text_contract}", *both, *broken, "-k", "not speed", suite=TEXT
    )
    values = {(gate["student"], gate["kpi"]): _limits(gate) for gate in beside["gates"]}
    verdicts = {(gate["student"], gate["kpi"]): _verdict(gate) for gate in beside["gates"]}
    now = {(gate["student"], gate["kpi"]): gate for gate in alone["gates"]}
    for (student, kpi), gate in now.items():
        if student in {"distilled", "int8"}:
            assert _verdict(gate) == verdicts[student, kpi], (student, kpi)
            assert kpi == "token_kl" or _limits(gate) == pytest.approx(values[student, kpi]), kpi
    for student in ("distilled", "int8"):  # tokens that are taken as one can only bring distributions nearer
        (whole,), (of_likeliest,) = values[student, "token_kl"].values(), _limits(now[student, "token_kl"]).values()
        assert whole / 2 < of_likeliest <= whole, student
    failed = {
        name: {kpi for (student, kpi), gate in now.items() if student == name and _verdict(gate) == "fail"}
        for name in ("coarse", "stops_early")
    }
    assert failed["coarse"] >= {"exact_match", "greedy_agreement"}
    assert "length_ratio" not in failed["coarse"]
    assert failed["stops_early"] >= {"exact_match", "bleu", "length_ratio", "greedy_agreement"}


def _limits(gate: dict[str, Any]) -> dict[str, Any]:
    return {limit["text"]: limit["value"] for limit in gate["limits"]}


def _verdict(gate: dict[str, Any]) -> str:
    return str(gate["verdict"])


SHAPES = DIGITS.parent / "shapes"
CAUSES = {
    "shifted": ({"map", "map_75", "box_iou"}, {"map_50", "detection_precision", "detection_recall"}),
    "duplicates": ({"map", "detection_precision", "detection_ece"}, {"detection_recall", "box_iou"}),
    "forgets_triangles": ({"ap_drop", "detection_recall", "lost_detections"}, {"detection_precision", "box_iou"}),
}
"""Which KPIs a broken detector fails, and some that do not see its fault."""


def test_shapes_suite_and_its_broken_students(tmp_path: Path) -> None:
    """The distilled student passes, and each broken one fails on what names its fault."""
    status, output, report = judge(tmp_path, "-k", "not speed", suite=SHAPES)
    assert status == 0, output
    assert Counter(gate["verdict"] for gate in report["gates"]) == {"pass": 14}
    broken = [f"--modelbench-student={name}=broken.py:{name}" for name in CAUSES]
    status, output, report = judge(tmp_path, *broken, "-k", "not speed and not size", suite=SHAPES)
    assert status == 1
    for name, (failing, passing) in CAUSES.items():
        verdicts = {gate["kpi"]: _verdict(gate) for gate in report["gates"] if gate["student"] == name}
        assert {kpi for kpi, verdict in verdicts.items() if verdict == "fail"} >= failing, name
        assert {kpi for kpi, verdict in verdicts.items() if verdict == "pass"} >= passing, name
    assert "drop by class: triangle" in output
