"""MLflow: a run for each student, with metrics, parameters, tags and the report as artifacts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pytest_modelbench.grammar.option_values import without_credentials
from pytest_modelbench.reports.trackers.names import NameRule
from pytest_modelbench.reports.trackers.tracked_run import TrackedRun
from pytest_modelbench.reports.trackers.tracker import Shipment, Tracker

INSTALL = "pip install 'pytest-modelbench[mlflow]'"
NAMES = NameRule(refused=re.compile(r"[^\w.\- ]"), most=250, start=re.compile(r"\w"))
"""A slash would make folders in the interface, and some positions of it are refused."""
_DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:.|databricks$|uc$|[.~]{0,2}/|[A-Za-z]:\\")
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment variables that the user's own override: MLflow would try a server that is down for minutes."""


def _send(shipment: Shipment) -> Iterator[str]:
    """Yield the experiment and the tracking URI after each run."""
    os.environ.update({name: value for name, value in _PATIENCE.items() if name not in os.environ})
    import mlflow

    if shipment.where:
        mlflow.set_tracking_uri(shipment.where)
    client = mlflow.MlflowClient()
    experiment = _experiment(mlflow, client)
    for run in shipment.runs:
        _log(client, experiment.experiment_id, run, [str(path) for path in shipment.files])
        yield f"in experiment {experiment.name!r} at {without_credentials(mlflow.get_tracking_uri())}"


def _experiment(mlflow: Any, client: Any) -> Any:
    """Return the experiment that MLflow's environment variables name, made where it is missing; else the default."""
    name, number = os.environ.get("MLFLOW_EXPERIMENT_NAME"), os.environ.get("MLFLOW_EXPERIMENT_ID")
    if number:
        return mlflow.set_experiment(experiment_id=number)
    return mlflow.set_experiment(name) if name else client.get_experiment("0")


def _log(client: Any, experiment: str, run: TrackedRun, files: Sequence[str]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    ended = run.ended or datetime.now(UTC)
    started = run.started or ended
    made = client.create_run(experiment, start_time=_ms(started), tags=_tags(run), run_name=run.student)
    number = made.info.run_id
    try:
        names = NAMES.names(run.metrics)
        metrics = [Metric(names[key], metric.value, _ms(ended), 0) for key, metric in run.metrics.items()]
        names = NAMES.names(run.params)
        params = [Param(names[key], str(value)) for key, value in run.params.items()]
        names = NAMES.names((name,) for name in run.tags)
        tags = [RunTag(names[name,], value) for name, value in run.tags.items()]
        client.log_batch(number, metrics, params, tags)  # in as many requests as it takes, and long texts cut
        for path in files:
            client.log_artifact(number, path)
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(number, status="FAILED")
        raise
    status = "FINISHED" if run.complete else "KILLED" if run.interrupted else "FAILED"
    client.set_terminated(number, status=status, end_time=_ms(ended))


def _tags(run: TrackedRun) -> dict[str, str]:
    """Return the tags that MLflow's own pages show."""
    tags = {
        "mlflow.source.type": "JOB",
        "mlflow.source.name": "pytest-modelbench",
        "mlflow.note.content": run.headline,
        "mlflow.source.git.commit": run.tags.get("modelbench.commit"),
        "mlflow.source.git.branch": run.tags.get("modelbench.branch"),
    }
    return {name: value for name, value in tags.items() if value is not None}


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _amiss(where: str) -> str | None:
    if where and not _URI.match(where):
        return "expected a tracking URI, such as mlflow:sqlite:///mlflow.db or mlflow:http://localhost:5000"
    uri = where or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    missing = [name for name in ("sqlalchemy", "alembic") if importlib.util.find_spec(name) is None]
    if _DATABASE.match(uri) and missing:
        return f"MLflow keeps runs in a database by {missing[0]}, which is not installed. Run: {INSTALL}"
    return None


TRACKER = Tracker(title="MLflow", package="mlflow", install=INSTALL, send=_send, amiss=_amiss)
