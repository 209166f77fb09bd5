"""What is settled when a session with gates begins, and does not change while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modelbench.bench.session import BenchSession
    from pytest_modelbench.probes.requests import Request
    from pytest_modelbench.settings import Given, Settings


@dataclass(frozen=True, kw_only=True)
class SessionState:
    """One session that judges gates.

    Args:
        settings: the resolved options of the session.
        places: where the options were given, the strongest first; a modelbench.toml comes after the command line.
        session: measures and judges.
        child: what this process was started to measure; None in any other process.
    """

    settings: Settings
    places: Sequence[Given]
    session: BenchSession
    child: Request | None
