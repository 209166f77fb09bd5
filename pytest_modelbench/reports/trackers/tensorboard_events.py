"""TensorBoard: a folder for each student, with scalars, the report as text, and the columns of the HParams tab."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pytest_modelbench.reports.trackers.names import NameRule
from pytest_modelbench.reports.trackers.tracked_run import Metric, Scalar, TrackedRun
from pytest_modelbench.reports.trackers.tracker import Shipment, Tracker

FOLDER = "runs/modelbench"
NAMES = NameRule(refused=re.compile(r"[^-/\w.]"), most=200, joint="/", start=re.compile(r"\w"))
"""TensorBoard puts tags with the same first part next to each other."""
HYPERPARAMETERS = frozenset({"student", "model", "limit", "option"})
CONDITIONS = frozenset({("teacher", "hash"), ("settings", "threads"), ("settings", "device")})
FACTS = ("modelbench.verdict", "modelbench.commit", "modelbench.branch", "modelbench.complete")


def _send(shipment: Shipment) -> Iterator[str]:
    """Yield the folder after each run."""
    root = Path(shipment.where or FOLDER)
    for run in shipment.runs:
        _write(_free(root, run), run, shipment.files)
        yield f"in {root} (to look at it: tensorboard --logdir {root})"


def _free(root: Path, run: TrackedRun) -> Path:
    """Make the folder of a run, named after the session's start and the student; another one where it exists."""
    started = run.started or run.ended or datetime.now(UTC)
    student = re.sub(r"[^-\w.]", "_", run.student)[:100]
    name = f"{started:%Y%m%d-%H%M%S}_{student}"
    for number in count(1):
        folder = root / (name if number == 1 else f"{name}.{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError  # which no count reaches


def _write(folder: Path, run: TrackedRun, files: Sequence[Path]) -> None:
    """Write the events of a run.

    They lack the experiment summary that torch's `add_hparams` writes: of several, TensorBoard takes the columns of
    the first. Without one it makes the columns of all runs.
    """
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    ended = run.ended or datetime.now(UTC)
    started = run.started or ended
    names = NAMES.names(run.metrics)
    summaries = [
        hparams_pb(_hyperparameters(run), trial_id=folder.name, start_time_secs=started.timestamp()),
        *(_scalar(names[key], metric) for key, metric in run.metrics.items()),
        *(text_pb("report", path.read_text(encoding="utf-8")) for path in files if path.suffix == ".md"),
        _session_end(ended, complete=run.complete),
    ]
    writer = EventFileWriter(str(folder))
    try:
        for summary in summaries:
            writer.add_event(_event(summary, ended))
    finally:
        writer.close()
    for path in files:
        shutil.copy(path, folder / path.name)


def _scalar(tag: str, metric: Metric) -> Any:
    """Return a scalar in the form that every reader of event files takes, with its unit as the description."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    unit = SummaryMetadata(summary_description=f"unit: {metric.unit}" if metric.unit else "")
    return Summary(value=[Summary.Value(tag=tag, simple_value=metric.value, metadata=unit)])


def _event(summary: Any, moment: datetime) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=moment.timestamp(), step=0, summary=summary)


def _session_end(ended: datetime, *, complete: bool) -> Any:
    """Return what ends a session of the HParams tab, for which the public interface has no function."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if complete else api_pb2.STATUS_FAILURE
    ending = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended.timestamp())
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ending)),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def _hyperparameters(run: TrackedRun) -> dict[str, Scalar]:
    """Return what the columns of the HParams tab are: limits, options, facts about the models, the verdict."""
    chosen: dict[tuple[str, ...], Scalar] = {
        key: value for key, value in run.params.items() if key[0] in HYPERPARAMETERS or key in CONDITIONS
    }
    chosen |= {(name.removeprefix("modelbench."),): run.tags[name] for name in FACTS if name in run.tags}
    names = NAMES.names(chosen)
    return {names[key]: value for key, value in chosen.items()}


def _amiss(where: str) -> str | None:
    folder = Path(where or FOLDER)
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not nearest.is_dir():
        return f"{nearest} is a file. Write the path of a folder, such as tensorboard:{FOLDER}"
    return None if os.access(nearest, os.W_OK) else f"the folder {nearest} cannot be written to (permission denied)"


TRACKER = Tracker(
    title="TensorBoard",
    package="tensorboard",
    install="pip install 'pytest-modelbench[tensorboard]'",
    send=_send,
    amiss=_amiss,
)
