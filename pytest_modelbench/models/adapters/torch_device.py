"""Devices of torch that work while Python goes on: when they have finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def finish(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def finishing(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Return a call that returns after its device has finished."""
    if device.type == "cpu":
        return call

    def run() -> Any:
        output = call()
        finish(device)
        return output

    return run
