"""MLflow with a SQLite store, read back by its own client."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report, gate, reading

from pytest_modelbench.grammar.option_values import destinations
from pytest_modelbench.options import TRACKERS
from pytest_modelbench.reports.trackers.mlflow_runs import TRACKER
from pytest_modelbench.reports.trackers.sending import Sent, send

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="MLflow is not installed: pip install 'pytest-modelbench[mlflow]'",
)
STORE = "sqlite:///runs.db"


def logged(folder: Path, report: dict[str, Any], where: str = STORE) -> Sent:
    """Send a report from a folder."""
    path = folder / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    return send(path, destinations(TRACKERS)(f"mlflow:{where}".strip(":"))[0], 120.0, folder)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has MLflow's tables already: making them takes a second."""
    folder = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where it makes the folder of its files
        client_of(folder).search_experiments()
    return folder / "runs.db"


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> None:
    """Give the test a copy of that database."""
    shutil.copy(migrated, tmp_path)


def client_of(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MLflow imports
        import mlflow

        return mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'runs.db'}")


def runs_of(folder: Path, experiment: str = "Default") -> dict[str, Any]:
    """Return the runs of an experiment by the student's name."""
    client = client_of(folder)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return {run.info.run_name: run for run in found}


@pytest.mark.slow
def test_each_student_is_a_run_with_values_and_artifacts(tmp_path: Path) -> None:
    """Metrics, parameters, the tags that MLflow's pages show, and the report in three forms."""
    session = {
        "started": "2026-11-28T08:00:00+00:00",
        "ended": "2026-11-28T08:01:00+00:00",
        "commit": "abc123",
        "branch": "main",
        "dirty": False,
    }
    sent = logged(tmp_path, {**full_report("small", "tiny"), "run": session})
    assert sent == Sent(ok=True, text="MLflow: 2 runs in experiment 'Default' at sqlite:///runs.db")
    runs = runs_of(tmp_path)
    assert set(runs) == {"small", "tiny"}
    run = runs["small"]
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 60_000
    assert run.data.metrics["latency_p50"] == 0.1
    assert run.data.metrics["latency_p50.ci_low"] == pytest.approx(0.09)
    assert run.data.metrics["latency_p50.teacher"] == 0.4
    assert run.data.metrics["latency_p50.speedup.margin"] == 2.0
    assert run.data.params["limit.latency_p50"] == "speedup >= 2x"
    assert run.data.params["unit.latency_p50"] == "ms"
    assert run.data.params["settings.budget_s"] == "60.0"
    assert run.data.tags["modelbench.verdict"] == "fail"
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert run.data.tags["mlflow.note.content"].startswith("pytest-modelbench: fail for small")
    artifacts = client_of(tmp_path).list_artifacts(run.info.run_id)
    assert sorted(file.path for file in artifacts) == ["report.html", "report.json", "report.md"]
    kept = next(tmp_path.glob(f"mlruns/*/{run.info.run_id}/artifacts/report.json"))
    assert json.loads(kept.read_text(encoding="utf-8"))["gates"] == full_report("small", "tiny")["gates"]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "shown"), [(2, "KILLED"), (None, "KILLED"), (3, "FAILED")])
def test_incomplete_run_is_marked(store: None, tmp_path: Path, status: int | None, shown: str) -> None:
    """By MLflow's own status, and by the tag."""
    assert logged(tmp_path, {**full_report("small"), "complete": False, "exit_status": status}).ok
    run = runs_of(tmp_path)["small"]
    assert run.info.status == shown
    assert run.data.tags["modelbench.complete"] == "false"


@pytest.mark.slow
def test_experiment_of_the_environment_is_used(store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own variables say where, and the experiment is made."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", STORE)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "compression")
    sent = logged(tmp_path, full_report("small"), where="")
    assert sent.text == "MLflow: 1 run in experiment 'compression' at sqlite:///runs.db"
    assert set(runs_of(tmp_path, "compression")) == {"small"}


@pytest.mark.slow
def test_unusual_names_and_many_long_values_arrive(store: None, tmp_path: Path) -> None:
    """Names that MLflow refuses are made valid and stay apart; more than one request takes is sent in several."""
    gates = [gate(f"kpi{at}", student="é/ß", options={"text": "x" * 7000}) for at in range(120)]
    gates += [
        gate(name, student="é/ß", readings={"student": reading(value, "ms", half=0.1)})
        for name, value in (("a/b", 1.0), ("a:b", 2.0), ("a_b", 3.0), ("../x", 4.0), ("n" * 300, 5.0))
    ]
    assert logged(tmp_path, {**full_report("small"), "gates": gates, "command": "pytest " * 2000}) == Sent(
        ok=True, text="MLflow: 1 run in experiment 'Default' at sqlite:///runs.db"
    )
    (run,) = runs_of(tmp_path).values()
    assert run.info.run_name == "é/ß"
    assert run.data.metrics["a_b"] == 3.0
    values = [
        value
        for name, value in run.data.metrics.items()
        if not name.startswith("kpi") and not name.endswith(("ci_low", "ci_high"))
    ]
    assert {1.0, 2.0, 3.0, 4.0, 5.0} <= set(values)
    assert len(run.data.params["option.kpi0.text"]) == 6000
    assert len(run.data.tags["modelbench.command"]) == 8000
    assert {f"option.kpi{at}.text" for at in range(120)} <= set(run.data.params)


@pytest.mark.slow
def test_run_that_broke_off_is_not_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files cannot be stored: the run has its values and is marked."""
    (tmp_path / "mlruns").write_text("in the way")
    sent = logged(tmp_path, full_report("small"))
    assert (sent.ok, "NotADirectoryError" in sent.text or "FileExistsError" in sent.text) == (False, True), sent.text
    assert runs_of(tmp_path)["small"].info.status == "FAILED"


@pytest.mark.slow
def test_server_that_is_down_is_one_short_line(tmp_path: Path) -> None:
    """Nothing listens on the port: MLflow's own text has 400 characters."""
    sent = logged(tmp_path, full_report("small"), where="http://127.0.0.1:9")
    refused = f"[Errno {errno.ECONNREFUSED}] Connection refused"
    assert sent == Sent(ok=False, text=f"MLflow did not take the report: ConnectionRefusedError: {refused}")


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ("sqlite:///a.db", True), ("http://localhost:5000", True), ("databricks", True), ("databricks://me", True),
        ("file:./mlruns", True), ("./mlruns", True), ("/srv/mlruns", True), ("", True), ("runs", False), ("5000", False),
    ],
)  # fmt: skip
def test_place_must_be_a_tracking_uri(where: str, fits: bool) -> None:
    """A bare word is a mistake, before anything is measured."""
    assert (TRACKER.amiss(where) is None) is fits


def test_database_without_its_library_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """mlflow-skinny alone has none, and the default store of MLflow is a database."""
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sqlalchemy" else find(name))
    expected = (
        "MLflow keeps runs in a database by sqlalchemy, which is not installed. Run: pip install "
        "'pytest-modelbench[mlflow]'"
    )
    assert TRACKER.amiss("") == TRACKER.amiss("sqlite:///a.db") == expected
    assert TRACKER.amiss("http://localhost:5000") is None
