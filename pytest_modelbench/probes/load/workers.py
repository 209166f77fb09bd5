"""Lanes in processes of their own: each builds the model there, and answers what this process sends it.

The clock is that of the machine, which all processes share. So the times of a call are taken where it runs, and what
a message needs on its way counts as lateness of the generator.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.load.lanes import Lane
from pytest_modelbench.probes.load.worker_request import WorkerRequest, ready_file

READY = b"ready"
ENDING_S = 30.0
"""How long a worker that is gone may take to be known as such."""
_SIZE, _TIMES = struct.Struct("<q"), struct.Struct("<qq")


def _connected(request: WorkerRequest) -> Connection:
    connection: Connection = Client(request.address, authkey=bytes.fromhex(request.key))
    return connection


def answer_requests(request: WorkerRequest, lane: Lane) -> None:
    """Answer in the process of a worker until the other side says that it is enough, or is gone."""
    count = 0
    with _connected(request) as connection, contextlib.suppress(EOFError, ConnectionError):
        ready_file(request.path).touch()
        connection.send_bytes(READY)
        while size := _SIZE.unpack(connection.recv_bytes())[0]:
            start, end, failure = lane(size)
            connection.send_bytes(_TIMES.pack(start, end) + failure.encode())
            count += 1
    Path(request.path).write_text(str(count), encoding="utf-8")


class WorkerLane:
    """Sends calls to a worker, and waits for each answer.

    Args:
        connection: to the worker.
        lost: returns the error for a worker that is gone.
    """

    elsewhere = True

    def __init__(self, connection: Connection, lost: Callable[[], BaseException]) -> None:
        self._connection = connection
        self._lost = lost

    def __call__(self, size: int) -> tuple[int, int, str]:
        """Let the worker call its model.

        Raises:
            MeasurementError: the worker ended.
        """
        try:
            self._connection.send_bytes(_SIZE.pack(size))
            answer = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        return (*_TIMES.unpack(answer[: _TIMES.size]), answer[_TIMES.size :].decode())

    def close(self) -> None:
        """Let the worker end."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(_SIZE.pack(0))
        self._connection.close()


@contextlib.contextmanager
def worker_lanes(
    start: Callable[[WorkerRequest], int], request: WorkerRequest, count: int, beat: Callable[[], None]
) -> Iterator[Sequence[Lane]]:
    """Start workers, all at once, and let them end afterwards.

    Args:
        start: runs one worker to its end.
        request: for each of them, without address and key.
        count: of the workers.
        beat: called after each start.

    Raises:
        MeasurementError: one ended before it was ready.
    """
    key = secrets.token_bytes(32)
    with ThreadPoolExecutor(count) as pool, Listener(backlog=count, authkey=key) as listener:
        request = replace(request, address=str(listener.address), key=key.hex())
        starting = threading.Event()
        starting.set()
        workers = [pool.submit(_run, start, request, starting) for _ in range(count)]
        lanes: list[WorkerLane] = []
        try:
            for _ in range(count):
                lanes.append(_ready(listener, workers))
                beat()
            starting.clear()
            listener.close()
            yield lanes
        finally:
            for lane in lanes:
                lane.close()


def _run(start: Callable[[WorkerRequest], int], request: WorkerRequest, starting: threading.Event) -> int:
    """Run a worker; one that fails while workers start ends the wait for its connection."""
    try:
        return start(request)
    except BaseException:
        if not starting.is_set():
            raise
        with contextlib.suppress(OSError, EOFError, AuthenticationError):
            _connected(request).close()
        raise


def _ready(listener: Listener, workers: Sequence[Future[int]]) -> WorkerLane:
    def lost() -> BaseException:
        ended = wait(workers, ENDING_S, FIRST_EXCEPTION).done
        errors = filter(None, (worker.exception() for worker in ended))
        return next(errors, MeasurementError("a worker ended while it was needed"))

    try:
        connection = listener.accept()
        connection.recv_bytes()
    except (EOFError, OSError, AuthenticationError) as error:
        raise lost() from error
    return WorkerLane(connection, lost)
