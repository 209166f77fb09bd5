"""Weights & Biases: a run for each student, those of one session in one group."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_modelbench.reports.trackers.names import NameRule
from pytest_modelbench.reports.trackers.tracked_run import Scalar, TrackedRun
from pytest_modelbench.reports.trackers.tracker import Shipment, Tracker

NAMES = NameRule(refused=re.compile(r"[^A-Za-z0-9_]"), most=200, joint="_", start=re.compile(r"[A-Za-z]"))
"""W&B hides names that start with an underscore. Other names cannot be sorted or filtered by: https://docs.wandb.ai/support/models/articles/why-cant-i-sort-or-filter-metrics-with-c."""
MOST_OF_TAG = 64
MOST_FOLDERS = 3
START_S = 40.0
"""Seconds that W&B tries to reach its server."""
_PROJECT = re.compile(r"([^/\\#?%:]+/)?[^/\\#?%:]{1,128}")


def _send(shipment: Shipment) -> Iterator[str]:
    """Yield the project, or the folder of an offline run, after each run."""
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    entity, _, project = shipment.where.rpartition("/")
    group = f"modelbench-{secrets.token_hex(4)}"
    offline: list[str] = []
    for run in shipment.runs:
        logged = wandb.init(
            id=secrets.token_hex(4),  # WANDB_RUN_ID would name one run for all students
            name=run.student,
            project=project or None,
            entity=entity or None,
            group=os.environ.get("WANDB_RUN_GROUP") or group,
            job_type="modelbench",
            notes=run.headline,
            config=_config(run),
            reinit="create_new",
            settings=wandb.Settings(**_settings(run)),
        )
        try:
            _log(logged, run, shipment.files)
        except BaseException:
            with contextlib.suppress(Exception):
                logged.finish(exit_code=1)
            raise
        place = _place(logged, offline)
        logged.finish(exit_code=0 if run.complete else 1)
        yield place


def _settings(run: TrackedRun) -> dict[str, Any]:
    """Return W&B's settings: it watches neither this process, which only sends, nor its machine and its folder."""
    settings: dict[str, Any] = {"console": "off", "x_disable_stats": True, "disable_code": True, "disable_git": True}
    if "WANDB_INIT_TIMEOUT" not in os.environ:
        settings["init_timeout"] = START_S
    if commit := run.tags.get("modelbench.commit"):
        settings |= {"git_commit": commit}
    return settings


def _config(run: TrackedRun) -> dict[str, Any]:
    """Return parameters and tags: W&B's own tags are single words."""
    values: dict[tuple[str, ...], Scalar] = {**run.params, **{(name,): value for name, value in run.tags.items()}}
    names = NAMES.names(values)
    return {names[key]: value for key, value in values.items()}


def _log(logged: Any, run: TrackedRun, files: Sequence[Path]) -> None:
    names = NAMES.names(run.metrics)
    if run.metrics:
        logged.log({names[key]: metric.value for key, metric in run.metrics.items()})
    state = () if run.complete else ("incomplete",)
    logged.tags = (*(logged.tags or ()), run.verdict[:MOST_OF_TAG], *state)
    for path in files:  # W&B only links to files elsewhere, and these are temporary
        copy = shutil.copy(path, logged.dir)
        logged.save(copy, base_path=logged.dir, policy="now")
    ended = run.ended or datetime.now(UTC)
    logged.summary["modelbench_ended"] = ended.isoformat(timespec="seconds")


def _place(logged: Any, offline: list[str]) -> str:
    """Say where a run is, and add its folder to those of earlier runs if it is offline."""
    if not logged.offline:
        return f"in project {logged.project!r}: {logged.url}"
    folder = Path(logged.dir).parent
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    offline.append(shlex.quote(str(folder)))
    shown = " ".join(offline) if len(offline) <= MOST_FOLDERS else f"{folder.parent}/offline-run-*"
    return f"offline (to upload: wandb sync {shown})"


def _amiss(where: str) -> str | None:
    if where and not _PROJECT.fullmatch(where):
        return "expected a project, such as wandb:compression or wandb:TEAM/compression, without any of \\ # ? % :"
    return None


TRACKER = Tracker(
    title="Weights & Biases",
    package="wandb",
    install="pip install 'pytest-modelbench[wandb]'",
    send=_send,
    amiss=_amiss,
)
