"""The keys by which measurements are shared, logged while a bench works, as texts without hashes and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_modelbench.bench.handover import Handover
from pytest_modelbench.bench.shelf import Shelf
from pytest_modelbench.gates.gate import TimingSetup
from pytest_modelbench.gates.sharing import Sharing
from pytest_modelbench.probes.cost.launch import LaunchRequest
from pytest_modelbench.settings import Settings

_BY_SERIAL = {"hash", "workload"}


class KeyLog:
    """Every key that measurements were taken by, in this process and for other workers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: list[tuple[str, Any]] = []
        for what, owner in (("once", Shelf), ("shared", Handover)):
            patch.setattr(owner, "once", self._logged(what, owner.once))

    def _logged(self, what: str, once: Any) -> Any:
        def logged(this: Any, key: Any, *arguments: Any, **more: Any) -> Any:
            self.keys.append((what, key))
            return once(this, key, *arguments, **more)

        return logged

    def lines(self, names: Mapping[str, str]) -> list[str]:
        """Return the different keys in order of the alphabet.

        Args:
            names: of the contents that hashes in keys stand for.
        """
        return sorted({f"{what}: {_text(key, names)}" for what, key in self.keys})


def _text(part: Any, names: Mapping[str, str]) -> str:
    if isinstance(part, Settings):
        return "settings"
    if isinstance(part, Sharing):
        return f"sharing of {', '.join(sorted(gate.kpi.name for gate in part.gates))}"
    if isinstance(part, TimingSetup):
        return f"setup: {part}"
    if isinstance(part, LaunchRequest):
        return f"launch of {part.role}, batch size {part.batch_size}, memory {part.memory}"
    if isinstance(part, tuple) and part and part[0] in _BY_SERIAL:
        return f"({part[0]}, serial)"
    if isinstance(part, tuple):
        return f"({', '.join(_text(one, names) for one in part)})"
    text = str(part)
    for content, name in names.items():
        text = text.replace(content, f"<{name}>")
    text = re.sub(r"\b(data|torch|[a-z]+):[0-9a-f]{16,}", r"<\1>", text)
    text = re.sub(r"'threads': \w+", "'threads': some", text)
    return re.sub(r"object-\d+", "<object>", text)
