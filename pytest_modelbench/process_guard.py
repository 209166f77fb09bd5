"""What a model or a machine may do to the whole process while items run, made into an ordinary ending."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from pytest_modelbench.errors import MeasurementError


class Terminated(KeyboardInterrupt):
    """SIGTERM: pytest ends as after Ctrl-C, and writes its reports."""


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated("SIGTERM")


@functools.cache
def _default_in_children() -> None:
    """Let SIGTERM end forked children at once, as `Process.terminate()` expects."""

    def restore() -> None:
        if signal.getsignal(signal.SIGTERM) is _stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=restore)


@contextlib.contextmanager
def exits_refused() -> Iterator[None]:
    """Make `os._exit` an error of whoever calls it in this process's main thread.

    It would end pytest without a summary and with any exit code, 0 among them: a build that is green without a
    verdict. Forked children and other threads (pytest-timeout's, for one) keep it.
    """
    leave, process = os._exit, os.getpid()

    def refuse(status: int = 0) -> NoReturn:
        if os.getpid() != process or threading.current_thread() is not threading.main_thread():
            leave(status)
        raise MeasurementError(f"os._exit({status}) was called: it would have ended pytest without a verdict")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """End as after Ctrl-C on SIGTERM, unless somebody else handles it or this is not the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    _default_in_children()
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
