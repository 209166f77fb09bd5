"""What a fresh process may be asked to do, as a file that it reads when it starts."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.probes.cost.launch import LaunchRequest
from pytest_modelbench.probes.load.worker_request import WorkerRequest
from pytest_modelbench.probes.timing.processes import TimingRequest

Request = TimingRequest | LaunchRequest | ExportRequest | WorkerRequest
_KINDS: dict[str, type[Request]] = {
    kind.kind: kind for kind in (TimingRequest, LaunchRequest, ExportRequest, WorkerRequest)
}


def write_request(request: Request, path: Path) -> None:
    """Write a request for the process to read."""
    path.write_text(json.dumps({"kind": request.kind, **request.to_json()}), encoding="utf-8")


def read_request(path: Path) -> Request:
    """Read what `write_request` wrote; lists come back as lists."""
    request = json.loads(path.read_text(encoding="utf-8"))
    return _KINDS[request.pop("kind")](**request)
