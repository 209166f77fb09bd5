"""What a model or a machine may do to the whole process while items run, made into an ordinary ending."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import pytest

from pytest_modelbench.errors import MeasurementError, shown


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


class ExitGuard:
    """Makes every way out of the process that Python offers an error, for as long as a session lasts.

    `os._exit` and `os.exec*` end pytest without a summary and with any exit code, 0 among them: a build that is green
    without a verdict. Also `from os import _exit` gets the guard, where it is read after the session's start. The C
    library's `exit()` is seen where that is glibc. What makes the system call itself is not seen: such a run leaves a
    report that says `complete: false`.

    Forked children keep both. Other threads (pytest-timeout's, for one) may leave, but never with the exit code 0.

    Args:
        tell: says what ends the process, where another thread does.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._process = os.getpid()
        self._leave: Callable[[int], NoReturn] = os._exit
        self.status: int | None = None
        """The session's exit status, once it is known: from then on the process may leave, with that."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the session ends; what was handed out in the meantime keeps to the session's exit status."""
        with contextlib.ExitStack() as restored:
            for module in (os, sys.modules[os.name]):  # the second is where `os` has them from
                for name in ("_exit", "execv", "execve"):
                    plain = getattr(module, name, None)
                    if plain is not None:
                        setattr(module, name, self._leaving if name == "_exit" else self._replacing(name, plain))
                        restored.callback(setattr, module, name, plain)
            restored.enter_context(self._watching_c())
            yield

    @contextlib.contextmanager
    def _watching_c(self) -> Iterator[None]:
        """End with status 1 where the C library's `exit()` is called, for instance by a library in C++.

        The handler of `__cxa_atexit` must be gone when Python ends as usual, for then nothing can run it: that of
        glibc goes when it is called for its own handle, which it survives here because the session is over. A forked
        child lets go of it at once.
        """
        if platform.libc_ver()[0] != "glibc":
            yield
            return
        over = False

        def at_exit(_: object) -> None:
            if not over and os.getpid() == self._process:
                self._tell("the C library's exit() was called: it would have ended pytest without a verdict")
                self._leave(1)

        def forget() -> None:
            nonlocal over
            if not over:
                over = True
                finalize(ctypes.addressof(handle))

        libc, handle = ctypes.CDLL(None), ctypes.create_string_buffer(1)
        handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(at_exit)
        finalize = libc["__cxa_finalize"]
        finalize.argtypes = [ctypes.c_void_p]
        libc["__cxa_atexit"](handler, None, ctypes.c_void_p(ctypes.addressof(handle)))
        os.register_at_fork(after_in_child=forget)
        try:
            yield
        finally:
            forget()

    def _leaving(self, status: int = 0) -> NoReturn:
        __tracebackhide__ = True
        if os.getpid() != self._process:
            self._leave(status)
        if self.status is not None:
            self._leave(status or self.status)
        if threading.current_thread() is not threading.main_thread():
            self._tell(f"os._exit({status}) was called in another thread: it ends pytest without a verdict")
            self._leave(status or 1)
        raise MeasurementError(f"os._exit({status}) was called: it would have ended pytest without a verdict")

    def _replacing(self, name: str, plain: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        def refuse(path: Any, *arguments: Any) -> NoReturn:
            __tracebackhide__ = True
            if os.getpid() != self._process or self.status is not None:
                plain(path, *arguments)
            raise MeasurementError(
                f"os.{name} of {shown(path)} was called: it would have put another program in the place of pytest"
            )

        return refuse


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """End as after Ctrl-C on SIGTERM, unless other code handles it or this is not the main thread."""
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


def tell_exit(config: pytest.Config, what: str) -> None:
    """Say what ends the process at once, past what pytest captures."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    print(f"\nERROR: {what}", file=sys.stderr, flush=True)
