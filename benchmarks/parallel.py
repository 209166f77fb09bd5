"""Does a run with two workers judge as a serial one, and does anything run beside a timed measurement?

The digits suite is run once serially, then again and again with `-n 2`; a plugin notes when each process holds the
machine's lock shared (all of its items) and when it times.

Usage: python benchmarks/parallel.py [--full] [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "example_suites" / "digits"
FULL_RUNS = 50
SPY = """
import json, os, time

def note(what):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(json.dumps([time.monotonic(), os.getpid(), what]) + "\\n")

def around(function, before, after):
    def noted(*args, **keywords):
        note(before)
        try:
            return function(*args, **keywords)
        finally:
            note(after)
    return noted

def pytest_configure():
    from pytest_modelbench.bench import machine_lock, timed_run as timed
    timed.measure_timing = around(timed.measure_timing, "alone", "over")
    lock = machine_lock.MachineLock
    take, give = lock._take_share, lock._give_share_back
    lock._take_share = lambda self: (take(self), note("share"))
    lock._give_share_back = lambda self: (note("no share"), give(self))
"""


def run(folder: Path, *arguments: str) -> tuple[dict[str, str], list[tuple[float, int, str]]]:
    """Run the suite and return the verdict of each gate, and what the processes noted."""
    report, events = folder / "report.json", folder / "events.jsonl"
    events.unlink(missing_ok=True)
    (folder / "spy.py").write_text(SPY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "spy", "--modelbench", f"--modelbench-json={report}"]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", "EVENTS": str(events)}
    subprocess.run([*command, *arguments, SUITE], env=environment, capture_output=True, check=False)
    gates = json.loads(report.read_text())["gates"]
    verdicts = {f"{gate['nodeid']} {gate['kpi']}": gate["verdict"] for gate in gates}
    return verdicts, [tuple(json.loads(line)) for line in events.read_text().splitlines()]


def overlaps(events: list[tuple[float, int, str]]) -> tuple[int, int]:
    """Return how many timed measurements there were, and how often an item or another one of them ran beside one."""
    sharing: set[int] = set()
    timing: set[int] = set()
    count = found = 0
    for _, process, what in sorted(events):
        if what == "share":
            sharing.add(process)
            found += bool(timing)
        elif what == "no share":
            sharing.discard(process)
        elif what == "alone":
            count += 1
            found += len(sharing) + len(timing)
            timing.add(process)
        else:
            timing.discard(process)
    return count, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="runs with two workers")
    parser.add_argument("--full", action="store_true", help=f"{FULL_RUNS} runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        serial, _ = run(folder)
        different = measured = beside = 0
        runs = FULL_RUNS if arguments.full else arguments.runs
        for number in range(runs):
            verdicts, events = run(folder, "-n", "2")
            changed = {gate: verdict for gate, verdict in verdicts.items() if serial.get(gate) != verdict}
            different += bool(changed) or verdicts.keys() != serial.keys()
            count, found = overlaps(events)
            measured, beside = measured + count, beside + found
            print(f"{number + 1:3} {count} timed, {found} overlaps, changed: {changed or 'none'}", flush=True)
        print(f"{runs} runs of {len(serial)} gates: {different} with other verdicts than the serial run's; ")
        print(f"{measured} timed measurements, {beside} with something beside it")


if __name__ == "__main__":
    main()
