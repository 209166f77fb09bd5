"""TensorBoard's event files, read back by its accumulator, and by the server behind its HParams tab."""

from __future__ import annotations

import http.client
import importlib.util
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from full_report import full_report, gate, limit, reading

from pytest_modelbench.grammar.option_values import destinations
from pytest_modelbench.options import TRACKERS
from pytest_modelbench.reports.trackers.sending import Sent, send
from pytest_modelbench.reports.trackers.tensorboard_events import TRACKER

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None,
    reason="TensorBoard is not installed: pip install 'pytest-modelbench[tensorboard]'",
)
SESSION = {"started": "2026-11-28T08:00:00+00:00", "ended": "2026-11-28T08:01:00+00:00"}


def logged(folder: Path, report: dict[str, Any], where: str = "") -> Sent:
    """Send a report from a folder."""
    path = folder / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    return send(path, destinations(TRACKERS)(f"tensorboard:{where}".strip(":"))[0], 120.0, folder)


def accumulated(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def test_each_student_is_a_folder_with_scalars_and_files(tmp_path: Path) -> None:
    """At the time of the session; each scalar states its unit."""
    sent = logged(tmp_path, {**full_report("small", "tiny"), "run": SESSION})
    assert sent == Sent(
        ok=True,
        text="TensorBoard: 2 runs in runs/modelbench (to look at it: tensorboard --logdir runs/modelbench)",
    )
    folders = sorted((tmp_path / "runs" / "modelbench").iterdir())
    assert [folder.name for folder in folders] == ["20261128-080000_small", "20261128-080000_tiny"]
    events = accumulated(folders[0])
    values = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert values["latency_p50"] == pytest.approx(0.1)
    assert values["latency_p50/ci_low"] == pytest.approx(0.09)
    assert values["latency_p50/teacher"] == pytest.approx(0.4)
    assert values["latency_p50/speedup/margin"] == 2.0
    assert events.SummaryMetadata("latency_p50").summary_description == "unit: ms"
    assert events.Scalars("latency_p50")[0].wall_time == 1795852860.0
    (text,) = events.Tensors("report")[0].tensor_proto.string_val
    assert b"pytest-modelbench: FAIL" in text
    assert {path.suffix for path in folders[0].iterdir() if "tfevents" not in path.name} == {".json", ".html", ".md"}


def hyperparameters(folder: Path) -> tuple[dict[str, Any], int]:
    """Return those of a run by name, and how its session ended."""
    from tensorboard.plugins.hparams import metadata

    events = accumulated(folder)
    start, end = (
        events.SummaryMetadata(tag).plugin_data.content
        for tag in (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG)
    )
    values = metadata.parse_session_start_info_plugin_data(start).hparams
    named = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in values.items()}
    return named, metadata.parse_session_end_info_plugin_data(end).status


@pytest.mark.parametrize("complete", [True, False])
def test_limits_and_models_are_hyperparameters(tmp_path: Path, complete: bool) -> None:
    """The session ends with success only if the run came to its end."""
    from tensorboard.plugins.hparams import api_pb2

    models = {"teacher": None, "students": {"small": {"kind": "torch", "parameters": 7}}}
    assert logged(tmp_path, {**full_report("small"), "complete": complete, "models": models}, "logs").ok
    (folder,) = (tmp_path / "logs").iterdir()
    values, status = hyperparameters(folder)
    assert values["limit/latency_p50"] == "speedup >= 2x"
    assert values["option/latency_p50/batch_size"] == 1
    assert values["option/latency_p50/compile"] is False
    assert (values["student"], values["verdict"], values["model/parameters"]) == ("small", "fail", 7)
    assert values["complete"] == str(complete).lower()
    assert status == (api_pb2.STATUS_SUCCESS if complete else api_pb2.STATUS_FAILURE)


def test_report_that_is_sent_twice_has_two_folders(tmp_path: Path) -> None:
    """Nothing is written into the events of an earlier run."""
    for _ in range(2):
        assert logged(tmp_path, {**full_report("small"), "run": SESSION}, "logs").ok
    names = sorted(folder.name for folder in (tmp_path / "logs").iterdir())
    assert names == ["20261128-080000_small", "20261128-080000_small.2"]


def test_unusual_names_make_no_folders(tmp_path: Path) -> None:
    """Neither a student's name nor a KPI's leaves the folder."""
    gates = [gate(name, student="../../a b", readings={"student": reading(value, "")}) for name, value in (("a b", 1.5), ("a_b", 2.5))]  # fmt: skip
    assert logged(tmp_path, {**full_report("small"), "gates": gates, "run": SESSION}, "logs").ok
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name == "20261128-080000_.._.._a_b"
    events = accumulated(folder)
    assert events.Scalars("a_b")[0].value == 2.5
    assert len(events.Tags()["scalars"]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_hparams_tab_compares_runs_with_different_columns(tmp_path: Path) -> None:
    """TensorBoard's server shows the KPIs and limits of all runs, also those that only a later run has."""
    from tensorboard import default, program

    later = gate("recall", limit(">= 90%", "pass", 94.0, "%"), unit="%", readings={"student": reading(94.0, "%")})
    for gates in (full_report("small")["gates"], [*full_report("small")["gates"], later]):
        assert logged(tmp_path, {**full_report("small"), "gates": gates}, "logs").ok
    board = program.TensorBoard(default.get_plugins())
    board.configure(argv=[None, "--logdir", str(tmp_path / "logs"), "--port", "0", "--load_fast=false"])
    url = board.launch()

    def asked(name: str, request: dict[str, Any]) -> Any:
        body = json.dumps({"experimentName": "0", **request}).encode()
        headers = {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request("POST", f"/data/plugin/hparams/{name}", body, headers)
        answer = json.load(connection.getresponse())
        connection.close()
        return answer

    experiment = asked("experiment", {"include_metrics": True})
    columns = {info["name"] for info in experiment["hparamInfos"]}
    assert {"limit/latency_p50", "limit/recall", "verdict"} <= columns
    assert {"latency_p50", "recall"} <= {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert (
        len(asked("session_groups", {"sliceSize": 10, "allowedStatuses": ["STATUS_SUCCESS"]})["sessionGroups"]) == 2
    )


def test_file_in_the_place_of_the_folder_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found before anything is measured; a folder that is not there yet is made."""
    monkeypatch.chdir(tmp_path)
    assert TRACKER.amiss("") is None
    (tmp_path / "runs").write_text("")
    file = tmp_path / "runs"
    assert TRACKER.amiss("") == f"{file} is a file. Write the path of a folder, such as tensorboard:runs/modelbench"
    assert TRACKER.amiss("logs/today") is None
