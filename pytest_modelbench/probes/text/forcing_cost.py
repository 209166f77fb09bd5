"""What a comparison token by token comes to, for the plan. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bytes_per_token(top_k: int) -> int:
    """Return how large a recorded place is: ids and log-probabilities, that of the rest, and the token itself."""
    return 8 * top_k + 8


def cost_of(options: Mapping[str, Any]) -> str:
    """Say how large a recording is."""
    size = bytes_per_token(int(options["top_k"]))
    return f"a contract holds {size} bytes for each token"
