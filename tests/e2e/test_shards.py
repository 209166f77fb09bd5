"""Data in shards: one pass, on any engine, in any cutting and order, gives the readings of one process to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_projects import HOLED, KPIS, command, cut, error, readings, run, suite, write_project
from suites import checked, interruptible


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of its own."""
    return write_project(tmp_path)


@pytest.mark.slow
def test_cutting_and_engine_change_no_bit(project: Path) -> None:
    """1, 7 and 23 shuffled shards, one process or two: the same readings, intervals, groups and samples."""
    suite(project, kpis=KPIS)
    cut(project, 1)
    first = readings(run(project)[0])
    assert set(first) == set(KPIS)
    for parts, engine in ((7, ()), (23, ("--modelbench-engine=processes", "--modelbench-workers=2"))):
        cut(project, parts)
        report, _ = run(project, *engine)
        assert readings(report) == first
        assert next(iter(report["data"].values()))["samples"] == 6000
    suite(project, kpis=[kpi for kpi in KPIS if kpi not in {"roc_auc", "kl_divergence_p99"}], data="whole")
    whole = readings(run(project)[0])
    assert whole == {kpi: first[kpi] for kpi in whole}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_clusters_change_no_bit(project: Path, engine: str) -> None:
    """A local cluster of each engine, a worker of which is killed: the readings of one process."""
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[engine], reason=f"needs {engine}")
    suite(project)
    alone = readings(run(project)[0])
    (project / "fault").write_text("kill-once part-03.npz", encoding="utf-8")
    report, printed = run(project, f"--modelbench-engine={engine}", "--modelbench-workers=2")
    assert readings(report) == alone, printed
    assert not (project / "fault").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill-once", "raise-once"])
def test_a_fault_that_passes_costs_a_second_attempt(project: Path, fault: str) -> None:
    """A worker is killed, or a store hangs up, once: nothing is lost, and nothing is counted twice."""
    suite(project)
    alone = readings(run(project)[0])
    (project / "reads").unlink()
    (project / "fault").write_text(f"{fault} part-03.npz", encoding="utf-8")
    report, _ = run(project, "--modelbench-engine=processes", "--modelbench-workers=2")
    assert readings(report) == alone
    assert not (project / "fault").exists()


def test_a_gate_alone_has_the_teacher_and_all_outputs(project: Path) -> None:
    """No other gate of the session has to ask for the teacher, and pytest's cache need not be there."""
    suite(project, kpis=["kl_divergence_p99"])
    ((values, *_),) = readings(run(project, "-p", "no:cacheprovider")[0]).values()
    assert values["student"]["n"] == 6000


def test_the_teacher_excuses_in_shards_as_in_one_piece(project: Path) -> None:
    """Outputs that are NaN for both models do not count, also where no gate compares them."""
    with (project / "shop.py").open("a", encoding="utf-8") as file:
        file.write(HOLED)
    suite(project, data="whole", kpis=["nonfinite_outputs"])
    whole = readings(run(project)[0])
    suite(project, kpis=["nonfinite_outputs"])
    assert readings(run(project)[0]) == whole


@pytest.mark.slow
def test_a_fault_that_stays_names_the_shard_and_keeps_the_others(project: Path) -> None:
    """The gates are errors that name the shard; a run that resumes asks for that shard alone."""
    suite(project)
    alone = readings(run(project)[0])
    cut(project, 7)  # other times of modification: nothing of the first run fits
    (project / "fault").write_text("kill part-03.npz", encoding="utf-8")
    engine = ("--modelbench-engine=processes", "--modelbench-workers=2")
    report, printed = run(project, *engine, code=1)
    assert error(report).startswith("shard part-03.npz was tried twice: ")
    assert "SIGKILL" in error(report)
    assert printed.count("part-03.npz") < 12
    (project / "fault").unlink()
    (project / "reads").unlink()
    report, _ = run(project, *engine, "--modelbench-resume")
    assert readings(report) == alone
    read = (project / "reads").read_text(encoding="utf-8").split()
    assert read.count("part-03.npz") >= 1
    assert len(set(read)) < 7
    assert any("from an earlier run" in note for note in next(iter(report["data"].values()))["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "number"), [("processes", signal.SIGINT), ("dask", signal.SIGTERM), ("ray", signal.SIGTERM)]
)
def test_interrupted_and_resumed(project: Path, engine: str, number: int) -> None:
    """Ctrl-C and SIGTERM end all workers, the report is there, and what was done is not done again."""
    pytest.importorskip(
        {"ray": "ray", "dask": "distributed"}.get(engine, "multiprocessing"), reason=f"needs {engine}"
    )
    suite(project)
    alone = readings(run(project)[0])
    cut(project, 7)
    (project / "reads").unlink()
    (project / "fault").write_text("slow part-06.npz", encoding="utf-8")
    arguments = command(f"--modelbench-engine={engine}", "--modelbench-workers=2")
    running = subprocess.Popen(
        arguments,
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,  # noqa: PLW1509 - nothing of ours runs in other threads
    )
    reads, until = project / "reads", time.monotonic() + 120
    while time.monotonic() < until and not (
        reads.exists() and len(set(reads.read_text(encoding="utf-8").split())) == 6
    ):
        time.sleep(0.2)
    time.sleep(2)
    os.kill(running.pid, number)
    printed, _ = running.communicate(timeout=60)
    assert running.returncode == 2, printed
    assert "INTERNALERROR" not in printed
    assert not checked(json.loads((project / "report.json").read_text(encoding="utf-8")))["complete"]
    (project / "fault").unlink()
    reads.unlink()
    report, _ = run(project, "--modelbench-resume")
    assert readings(report) == alone
    assert set(reads.read_text(encoding="utf-8").split()) < {f"part-{number:02}.npz" for number in range(7)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": lambda ids: np.concatenate([[3], ids[1:]])}, "3 in "),
        ({"id": lambda ids: np.concatenate([ids[:1], ids[:-1]])}, "shard part-06.npz: ids are there more than once"),
        ({"y": lambda y: y.astype(float) + 0.5}, "shard part-06.npz"),
        ({"y": lambda y: y + 1}, "shard part-06.npz: the targets 3 are outside of classes="),
        ({"x": lambda x: x.astype(np.float32)}, "shard part-06.npz"),
        ({"x": lambda x: x[:, :3]}, "shard part-06.npz"),
        ({name: lambda values: values[:0] for name in ("x", "y", "id", "sex")}, "is empty"),
    ],
    ids=["twice", "twice-inside", "kind", "class", "dtype", "columns", "empty"],
)
def test_shards_that_do_not_belong_together(project: Path, changes: Any, expected: str) -> None:
    """Each is one error that names the shard."""
    cut(project, 7, **changes)
    suite(project)
    report, _ = run(project, code=1)
    assert expected in error(report)
    assert "part-06.npz" in error(report)


@pytest.mark.slow
def test_factories_that_do_not_go_into_a_worker(project: Path) -> None:
    """One that makes another model in every process is told; so is a fixture that returns an object."""
    suite(project, student="other")
    engine = ("--modelbench-engine=processes", "--modelbench-workers=2")
    report, _ = run(project, *engine, code=1)
    assert "made another model in a worker than in the session" in error(report)
    (project / "modelbench.toml").unlink()
    (project / "conftest.py").write_text(
        "import pytest, shop\n"
        "@pytest.fixture(scope='session')\ndef teacher_model(): return shop.teacher()\n"
        "@pytest.fixture(scope='session')\ndef student_model(): return shop.student()\n"
        "@pytest.fixture(scope='session')\ndef eval_data(): return shop.shards()\n",
        encoding="utf-8",
    )
    (project / "test_sla.py").write_text(
        "import pytest\n@pytest.mark.kpi('f1', 'drop <= 20 pp')\ndef test_f1(): ...\n", encoding="utf-8"
    )
    report, _ = run(project, *engine, code=1)
    assert "Name its factory: --modelbench-student module:function" in error(report)
    assert run(project)[0]["summary"]["pass"] == 1


def test_other_kinds_are_measured_on_the_first_shard(project: Path) -> None:
    """What is not a pass over all samples says so; nothing of it runs in a worker."""
    cut(project, 3)
    (project / "conftest.py").write_text("", encoding="utf-8")
    suite(project)
    with (project / "modelbench.toml").open("a", encoding="utf-8") as file:
        file.write('\ndeterminism = "== 0"\nlatency_p50 = "<= 10 s"\nweak_slice_drop = "<= 90 pp"\n')
        file.write('[kpi.gap]\nlimits = "<= 100"\nmetric = "shop:largest_gap"\nbetter = "lower"\ninputs = "scores"\n')
    report, _ = run(project, "--modelbench-budget=1")
    by_name = {gate["kpi"]: gate for gate in report["gates"]}
    assert by_name["determinism"]["readings"]["student"]["n"] == 2000
    assert by_name["gap"]["readings"]["student"]["n"] == 6000
    assert by_name["weak_slice_drop"]["verdict"] == "not_applicable"
    notes = next(iter(report["data"].values()))["notes"]
    assert "determinism: of the first shard" in notes
    assert report["models"]["teacher"]["forward_passes"] < 3 * 24 + 30


def test_a_worthless_teacher_is_seen_over_all_shards(project: Path) -> None:
    """Limits that rest on a teacher at chance are errors, as without shards; of one shard alone nothing follows."""
    cut(project, 3)
    shop = project / "shop.py"
    shop.write_text(shop.read_text(encoding="utf-8").replace("return Linear(0.0)", "return Linear(50.0)"), "utf-8")
    suite(project)
    report, _ = run(project, code=1)
    assert "no better than always predicting" in error(report)
    assert "allow_weak_teacher=True" in error(report)
