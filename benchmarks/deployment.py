"""What does a deployed file gain, and is it timed fairly? Five models by runtime, and one file against itself.

First table: each model is exported to each runtime in a fresh process by the steps of the KPI `export`. A file that
is ready is weighed, and timed against the eager model in the same rounds, both on one thread. A runtime whose pool
has more threads is named with them. Cold start is the time in a fresh process from the first import to the first
output. The eager model is built by its code there, and a forest is loaded by joblib. Files and eager models are
started in turns. A row without numbers names the failed step.

Second table: real pytest sessions with `latency_p50` and `ratio <= 1.05`. "A/A" judges one ONNX file against itself,
so every FAIL is a false alarm. The others judge the file against the torch module: once as the adapter loads it, and
once with the threads of ONNX Runtime spinning after each call, as they do by default. Spinning takes processor time
from the model that is timed next, so the module's time is given as a ratio to that in the sessions without spinning.

Usage: python benchmarks/deployment.py [--quick] [--only WORD] [--sessions 20] [--no-runtimes]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__)
RUNTIMES = ("onnx", "openvino", "torch_export", "executorch", "tvm")
ROWS = 8
LONGEST_S = 400
INT8_PARITY = 5e-2
LIMIT = 1.05
MOST_WORDS = 200
CONFTEST = """
from pathlib import Path

import pytest
import torch
from deployment import cnn
from pytest_modelbench import EvalData
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
from pytest_modelbench.models.saved import Loading

FILE = Path(__file__).with_name("model.onnx")

def load(name, **entries):
    return OnnxModel(FILE, Loading(name=name), entries=entries)

@pytest.fixture(scope="session")
def teacher_model():
    return load("teacher") if {against_itself} else cnn()[0]

@pytest.fixture(scope="session")
def student_model():
    return load("student", **{entries})

@pytest.fixture(scope="session")
def eval_data():
    batch = cnn()[1][0]
    return EvalData(batch, torch.zeros(len(batch), dtype=torch.int64), batch_size=len(batch))
"""
TEST = f"""
import pytest

@pytest.mark.kpi("latency_p50", "ratio <= {LIMIT}", batch_size={ROWS})
def test_p50(): ...
"""
SPINNING = {"session.force_spinning_stop": "0"}
Built = tuple[Any, list[Any]]
"""A model, and batches of its inputs."""


def cnn() -> Built:
    """Return four convolutions, and images of 32 x 32."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [
        part
        for width, out in ((3, 32), (32, 32), (32, 64), (64, 64))
        for part in (nn.Conv2d(width, out, 3, padding=1, stride=1 + (width == 32)), nn.BatchNorm2d(out), nn.ReLU())
    ]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    module.eval()
    return module, [torch.randn(ROWS, 3, 32, 32) for _ in range(3)]


def transformer() -> Built:
    """Return a small BERT, and token ids of three lengths."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    )
    ids = [torch.randint(0, 1000, (ROWS, length)) for length in (16, 24, 32)]
    module: Any = BertModel(config)
    return module.eval(), [{"input_ids": one, "attention_mask": torch.ones_like(one)} for one in ids]


def lstm() -> Built:
    """Return a classifier of sequences by an LSTM's last state."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return logits."""
            found: torch.Tensor = self.head(self.body(x)[0][:, -1])
            return found

    torch.manual_seed(0)
    return Recurrent().eval(), [torch.randn(ROWS, 20, 32) for _ in range(3)]


def int8() -> Built:
    """Return the convolutions quantised by PT2E for x86."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    module, batches = cnn()
    program = torch.export.export(module, (batches[0],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    settings = x86.get_default_x86_inductor_quantization_config()
    prepared = prepare_pt2e(program.module(), x86.X86InductorQuantizer().set_global(settings))
    for batch in batches:
        prepared(batch)
    return convert_pt2e(prepared), batches


def forest() -> Built:
    """Return a random forest for the digits of scikit-learn."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    fitted = RandomForestClassifier(100, max_depth=8, random_state=0).fit(x, y)
    return fitted, [x[start : start + ROWS] for start in range(0, 3 * ROWS, ROWS)]


MODELS: Mapping[str, Callable[[], Built]] = {
    "CNN": cnn,
    "transformer, dynamic lengths": transformer,
    "LSTM": lstm,
    "CNN, int8 by PT2E": int8,
    "random forest": forest,
}


class Files(NamedTuple):
    """Where a fresh process leaves what it made."""

    folder: Path

    @property
    def inputs(self) -> Path:
        """The first batch, as arrays by name."""
        return self.folder / "inputs.npz"

    @property
    def eager(self) -> Path:
        """The eager model, for those that are not built by code."""
        return self.folder / "eager.joblib"


def one(name: str, runtime: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Export a model to a runtime, and measure the file if it is ready."""
    import numpy as np

    from pytest_modelbench.data.arrays import as_array
    from pytest_modelbench.exports.options import ExportOptions, Target
    from pytest_modelbench.exports.run import export_to
    from pytest_modelbench.models.registry import adapt
    from pytest_modelbench.models.saved import Loading

    built, batches = MODELS[name]()
    eager, parity = adapt(built, Loading(name="eager")), INT8_PARITY if "int8" in name else 1e-4
    exported = export_to(eager, batches, Target(format=runtime), folder, ExportOptions(parity=parity))
    stopped = exported.stopped_at
    if stopped is not None or exported.file is None:
        return {"stopped": stopped.name, "evidence": stopped.evidence} if stopped else {"stopped": "export"}
    first = batches[0] if isinstance(batches[0], dict) else {"": batches[0]}
    arrays: dict[str, Any] = {key or "x": as_array(value) for key, value in first.items()}
    np.savez(Files(folder).inputs, **arrays)
    if eager.kind == "sklearn":
        import joblib

        joblib.dump(built, Files(folder).eager)
    found = next(step.numbers["value"] for step in exported.steps if step.name == "parity")
    return {"file": str(exported.file), "parity": found, **measured(eager, exported.file, batches, seconds)}


def measured(eager: Any, file: Path, batches: list[Any], seconds: float) -> dict[str, Any]:
    """Return the time of a call, the size and the time to load, each with what it is relative to."""
    from pytest_modelbench.models.registry import adapt
    from pytest_modelbench.models.saved import Loading, SavedModel
    from pytest_modelbench.probes.timing.engine import TimingSettings, measure_timing
    from pytest_modelbench.stats.clustered import compare_medians, widen

    loads = []
    for _ in range(5):
        start = time.perf_counter()
        deployed = adapt(SavedModel(str(file)), Loading(name="deployed", allow_pickle=True, alone=True))
        loads.append(time.perf_counter() - start)
    models = {"student": deployed, "teacher": eager}
    timing = measure_timing(models, dict.fromkeys(models, batches), TimingSettings(budget_s=seconds), lambda _: False)
    compared = widen(compare_medians(timing.calm["student"], timing.calm["teacher"], 0.05), timing.floor, 1.0)
    ratio = compared.ratio
    sizes = [model.artefact().size_bytes for model in (deployed, eager)]
    return {
        "ratio": None if ratio is None else (ratio.value, ratio.low, ratio.high),
        "size": sizes[0] / sizes[1],
        "load_s": statistics.median(loads),
        "threads": deployed.describe().get("threads", 1),
    }


def launch(name: str, file: str, folder: Path) -> float:
    """Return the seconds from the first import to the first output; the model is built if there is no file of it."""
    start = time.perf_counter()
    import numpy as np

    from pytest_modelbench.models.registry import adapt
    from pytest_modelbench.models.saved import Loading, SavedModel

    stored = np.load(Files(folder).inputs)
    inputs = stored["x"] if stored.files == ["x"] else {key: stored[key] for key in stored.files}
    adapt(SavedModel(file) if file else MODELS[name]()[0], Loading(name="model", allow_pickle=True, alone=True))(
        inputs
    )
    return time.perf_counter() - start


def in_fresh_process(*arguments: str) -> Any:
    """Return what a fresh process of this file answers, or a dict with `stopped` if it has no answer."""
    command = [sys.executable, str(HERE), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        return {"stopped": "process", "evidence": f"longer than {LONGEST_S} s"}
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        last = (ended.stderr.strip().splitlines() or [""])[-1]
        return {"stopped": "process", "evidence": f"exit code {ended.returncode}: {last}"}
    return json.loads(lines[-1])


def cold_start(name: str, file: str, folder: Path, count: int) -> str:
    """Return the median cold start of a file in words, and its ratio to that of the eager model."""
    eager = str(Files(folder).eager) if Files(folder).eager.exists() else ""
    known = name != "CNN, int8 by PT2E"  # to build it is to quantise it
    seconds: dict[str, list[float]] = {"file": [], "eager": []}
    for _ in range(count):
        for kind, path in (("file", file), *([("eager", eager)] if known else [])):
            found = in_fresh_process("--launch", name, path, str(folder))
            if not isinstance(found, float):
                return _reason(found, folder)
            seconds[kind].append(found)
    middle = {kind: statistics.median(values) for kind, values in seconds.items() if values}
    return f"{middle['file']:.2f} s" + (f" ({middle['file'] / middle['eager']:.2f})" if known else "")


def _reason(found: Mapping[str, str], folder: Path) -> str:
    """Return which step failed and why, in one cell of a table."""
    evidence = found.get("evidence", "").replace(f"{folder}/", "").replace("|", "/")
    return f"fails: {found['stopped']}: {evidence[:MOST_WORDS]}"


def row(name: str, runtime: str, seconds: float, launches: int) -> str:
    """Return the row of a model and a runtime."""
    with tempfile.TemporaryDirectory() as folder:
        found = in_fresh_process("--one", name, runtime, folder, str(seconds))
        if "stopped" in found:
            return f"| {name} | {runtime} | {_reason(found, Path(folder))} | | | | |"
        start = cold_start(name, found["file"], Path(folder), launches)
    value, low, high = found["ratio"]
    threads = f" ({found['threads']} threads)" if found["threads"] > 1 else ""
    cells = [name, f"{runtime}{threads}", f"{found['parity']:.1g}", f"{value:.2f} ({low:.2f} to {high:.2f})"]
    cells += [f"{found['size']:.2f}", start, f"{1000 * found['load_s']:.0f} ms"]
    return f"| {' | '.join(cells)} |"


def runtimes(only: str, seconds: float, launches: int) -> Iterator[str]:
    """Yield the first table."""
    yield "| model | runtime | parity | latency / eager | size / eager | cold start (/ eager) | session |"
    yield "|---|---|---|---|---|---|---|"
    for name in MODELS:
        for runtime in ("onnx",) if name == "random forest" else RUNTIMES:
            if only in f"{name} {runtime}":
                yield row(name, runtime, seconds, launches)


SESSIONS: Mapping[str, tuple[bool, dict[str, str]]] = {
    "A/A: the file against itself": (True, {}),
    "file against torch": (False, {}),
    "file against torch, spinning": (False, SPINNING),
}
"""By what is judged: whether the teacher is the file too, and the student's entries of the session."""


def session(file: Path, against_itself: bool, entries: dict[str, str], budget: float) -> dict[str, Any]:
    """Judge the file in a pytest session; return the gate of its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(file.read_bytes())
        (folder / "conftest.py").write_text(CONFTEST.format(against_itself=against_itself, entries=entries))
        (folder / "test_sla.py").write_text(TEST)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--modelbench"]
        command += ["--modelbench-json=report.json", f"--modelbench-budget={budget:g}", "."]
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        ended = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        if not (folder / "report.json").exists():
            raise SystemExit(ended.stdout + ended.stderr)
        gate: dict[str, Any] = json.loads((folder / "report.json").read_text())["gates"][0]
    return gate


def spinning(sessions: int, budget: float) -> Iterator[str]:
    """Yield the second table."""
    from scipy.stats import binomtest

    found: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        exported = in_fresh_process("--one", "CNN", "onnx", folder, "1")
        for _ in range(sessions):  # in turns, so that a slow minute hits all of them
            for name, (against_itself, entries) in SESSIONS.items():
                found[name].append(session(Path(exported["file"]), against_itself, entries, budget))
    calm = statistics.median(gate["readings"]["teacher"]["value"] for gate in found["file against torch"])
    yield "| sessions | number | pass | fail | inconclusive | ratio, median (least to most) | torch's time |"
    yield "|---|---|---|---|---|---|---|"
    for name, gates in found.items():
        verdicts = collections.Counter(gate["verdict"] for gate in gates)
        interval = binomtest(verdicts["fail"], sessions).proportion_ci(method="wilson")
        ratios = [gate["limits"][0]["value"] for gate in gates]
        teacher = statistics.median(gate["readings"]["teacher"]["value"] for gate in gates) / calm
        yield (
            f"| {name} | {sessions} | {verdicts['pass']} | {verdicts['fail']} ({interval.low:.0%} to "
            f"{interval.high:.0%}) | {verdicts['inconclusive']} | {statistics.median(ratios):.3f} ({min(ratios):.3f} "
            f"to {max(ratios):.3f}) | {'' if name.startswith('A/A') else f'{teacher:.2f}'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="5 s a measurement, one launch, 6 sessions of 5 s")
    parser.add_argument("--only", default="", help="only rows of the first table that contain this")
    parser.add_argument("--sessions", type=int, help="pytest sessions of each kind; 0 leaves out the second table")
    parser.add_argument("--no-runtimes", action="store_true", help="leave out the first table")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--launch", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        name, runtime, folder, seconds = asked.one
        print(json.dumps(one(name, runtime, Path(folder), float(seconds))))
    elif asked.launch:
        name, file, folder = asked.launch
        print(json.dumps(launch(name, file, Path(folder))))
    else:
        if not asked.no_runtimes:
            for line in runtimes(asked.only, 5.0 if asked.quick else 10.0, 1 if asked.quick else 5):
                print(line, flush=True)
        sessions = asked.sessions if asked.sessions is not None else 6 if asked.quick else 20
        for line in spinning(sessions, 5.0 if asked.quick else 10.0) if sessions else ():
            print(line, flush=True)


if __name__ == "__main__":
    main()
