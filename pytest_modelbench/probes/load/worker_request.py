"""What a worker under load is asked to do, as a file that it reads when it starts. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar


def ready_file(path: str) -> Path:
    """Return the file that is there once a process that leaves its answer in `path` has begun to answer requests."""
    return Path(path).with_name("ready")


@dataclass(frozen=True, kw_only=True)
class WorkerRequest:
    """What a fresh process is asked to do: build the model of a role, and answer requests until a message ends it.

    Attributes:
        role: "student" or "teacher".
        model: the structure that it must have.
        max_batch: the most requests in a call.
        budget_s: of the measurement, in seconds.
        address: where the requests come from.
        key: proves who asks, as hexadecimal digits.
        student: the file that the student is deployed as; empty where its fixture builds it.
        path: the file that gets the number of calls at the end.
    """

    kind: ClassVar[str] = "worker"
    setup: ClassVar[str] = ""  # no gate's timing is asked for
    role: str
    model: str
    max_batch: int
    budget_s: float
    address: str = ""
    key: str = ""
    student: str = ""
    path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def answer(self) -> int:
        """Read what the process has left: the number of its calls."""
        return int(Path(self.path).read_text(encoding="utf-8"))
