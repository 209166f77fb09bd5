"""What torch's compiler logs, kept out of the reports of tests. Standard library only."""

from __future__ import annotations

import logging
import os

import pytest

_TRACE = "torch.__trace"  # for tlparse: its records have no message, and pytest would print hundreds of empty lines
_WRITTEN = ("TORCH_TRACE", "TORCH_DTRACE", "TORCH_COMPILE_DEBUG")


def leave_out_trace(config: pytest.Config) -> None:
    """Drop the records of torch's trace until the session ends, unless the environment asks torch to write them."""
    if any(os.environ.get(name) for name in _WRITTEN):
        return
    log = logging.getLogger(_TRACE)

    def never(_: logging.LogRecord) -> bool:
        return False

    log.addFilter(never)
    config.add_cleanup(lambda: log.removeFilter(never))
