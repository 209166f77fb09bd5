"""TensorRT engines: the adapter's logic against a fake of the functions that it calls, on torch's CPU tensors.

TensorRT needs an NVIDIA GPU, also to build an engine. The last test runs a real engine where both are there.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

ADAPTER = "pytest_modelbench.models.adapters.tensorrt"
REAL = importlib.util.find_spec("tensorrt") is not None and torch.cuda.is_available()
INPUTS = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class Logger:
    """The base class of loggers; TensorRT refuses one whose __init__ was not called."""

    Severity = Severity

    def __init__(self) -> None:
        self.made = True


class DataType(Enum):
    FLOAT = 0
    HALF = 1
    BF16 = 2
    INT4 = 3


class Mode(Enum):
    INPUT = 0
    OUTPUT = 1


class Context:
    """Doubles the input into the output's address, as its type, when it is executed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 3) if self.engine.plan.get("unknown size") else self.shapes["x"]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.engine.plan.get("fails"):
            self.engine.logger.log(Severity.ERROR, "out of memory\n")
            return False
        size = int(np.prod(self.shapes["x"]))
        ends = [at(self.addresses[name], size, self.engine.types[name]) for name in ("x", "y")]
        ends[1].copy_(2 * ends[0].to(torch.float32))
        return True


class Inspector:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.execution_context: Any = None

    def get_engine_information(self, form: str) -> str:
        assert form == "json"
        assert self.execution_context is not None
        return json.dumps({"Layers": self.engine.plan.get("layers", [])})


class Engine:
    """An engine with the input x and the output y, whose file is a mapping in JSON."""

    num_io_tensors = 2

    def __init__(self, plan: dict[str, Any], logger: Any) -> None:
        self.plan, self.logger = plan, logger
        self.types = {
            name: {"FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16}.get(self.plan["type"])
            for name in ("x", "y")
        }

    def create_execution_context(self) -> Context | None:
        return None if self.plan.get("no context") else Context(self)

    def get_tensor_name(self, index: int) -> str:
        return ("x", "y")[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "x" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self.plan["type"]]

    def is_shape_inference_io(self, name: str) -> bool:
        return bool(self.plan.get("shape tensor"))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 3) if "profile" in self.plan else (2, 3)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert (name, profile) == ("x", 0)
        return [tuple(shape) for shape in self.plan["profile"]]

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)


class Runtime:
    def __init__(self, logger: Any) -> None:
        assert logger.made
        self.logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
        plan = json.loads(content[4:])
        if "refused" in plan:
            self.logger.log(Severity.WARNING, "this one is no reason")
            self.logger.log(Severity.ERROR, plan["refused"])
            return None
        return Engine(plan, self.logger)


def at(address: int, size: int, dtype: Any) -> torch.Tensor:
    """Return the tensor that lies at an address."""
    import ctypes

    room = torch.empty(0, dtype=dtype).element_size() * size
    return torch.frombuffer((ctypes.c_byte * room).from_address(address), dtype=dtype)


def fake() -> ModuleType:
    module: Any = ModuleType("tensorrt")
    module.__version__ = "10.9"
    module.ILogger = Logger
    module.Runtime = Runtime
    module.TensorIOMode = Mode
    module.LayerInformationFormat = SimpleNamespace(JSON="json")
    module.init_libnvinfer_plugins = lambda logger, _: logger.made
    found: ModuleType = module
    return found


class Cpu:
    """What the adapter asks a GPU for."""

    def __init__(self, device: str) -> None:
        if device == "cuda:7":
            raise RuntimeError("CUDA error: invalid device ordinal")
        self.device = torch.device("cpu")
        self.handle = 7
        self.waited = 0

    def wait(self) -> None:
        self.waited += 1

    def wait_for_inputs(self) -> None:
        self.waited += 1


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put a fake in the place of TensorRT and of the GPU, for the adapter alone."""
    monkeypatch.setitem(sys.modules, "tensorrt", fake())
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    module = importlib.import_module(ADAPTER)
    monkeypatch.setattr(module, "Gpu", Cpu)
    yield module
    sys.modules.pop(ADAPTER, None)


def write(path: Path, **plan: Any) -> Path:
    """Write an engine as the fake reads it, with the first bytes of a real one."""
    path.write_bytes(b"ftrt" + json.dumps({"type": "FLOAT", **plan}).encode())
    return path


def load(path: Path, **loading: Any) -> Any:
    return adapt(path, Loading(name="student", **loading))


def refused(path: Path, words: str, **loading: Any) -> None:
    with pytest.raises(ModelError, match=words) as error:
        load(path, **loading)
    assert str(error.value).startswith("student")


@pytest.mark.usefixtures("tensorrt")
def test_outputs_are_new_tensors_by_name(tmp_path: Path) -> None:
    """A call waits for its stream, and a later one does not change what it returned."""
    model = load(write(tmp_path / "model.engine"))
    assert [str(port) for port in model.inputs()] == ["x (float32, 2x3)"]
    call = model.bind({"x": INPUTS.astype(np.float64)})
    waited = model.gpu.waited
    first = call()
    assert model.gpu.waited == waited + 1
    assert np.array_equal(first["y"].numpy(), 2 * INPUTS)
    first["y"].zero_()
    assert np.array_equal(call()["y"].numpy(), 2 * INPUTS)
    told = model.describe()
    assert (told["casts"], told["tensorrt"]) == ({"x": "float64 -> float32"}, "10.9")


@pytest.mark.usefixtures("tensorrt")
def test_two_bound_batches_do_not_share_addresses(tmp_path: Path) -> None:
    """The context is the same, so each call says again where its inputs are."""
    model = load(write(tmp_path / "model.plan", profile=[(1, 3), (2, 3), (4, 3)]))
    first, second = model.bind(INPUTS), model.bind(INPUTS[:1])
    assert second()["y"].shape == (1, 3)
    assert np.array_equal(first()["y"].numpy(), 2 * INPUTS)


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize(("kind", "dtype"), [("HALF", torch.float16), ("BF16", torch.bfloat16)])
def test_types_are_those_of_the_engine(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    """Also those that numpy does not have; the cast is stated."""
    model = load(write(tmp_path / "model.engine", type=kind))
    outputs = model(INPUTS)
    assert outputs["y"].dtype == dtype
    assert torch.allclose(outputs["y"].float(), 2 * torch.from_numpy(INPUTS), atol=0.02)
    assert model.describe()["casts"] == {"x": f"float32 -> {str(dtype).removeprefix('torch.')}"}


@pytest.mark.usefixtures("tensorrt")
def test_shapes_outside_of_the_profile_name_the_rebuild(tmp_path: Path) -> None:
    """The command has the shapes that were built for, widened by the one that was found."""
    model = load(write(tmp_path / "model.engine", profile=[(1, 3), (2, 3), (4, 3)]))
    with pytest.raises(
        ModelError,
        match="has the shape 6x3, and the engine model.engine was built for 1x3 to 4x3. Rebuild it: trtexec "
        "--onnx=MODEL.onnx --minShapes=x:1x3 --optShapes=x:6x3 --maxShapes=x:6x3 --saveEngine=.*model.engine",
    ):
        model(np.zeros((6, 3)))
    with pytest.raises(
        ModelError, match="has the shape 6, and the engine model.engine takes 2 dimensions, 1x3 to 4x3"
    ):
        model(np.zeros(6))
    fixed = load(write(tmp_path / "fixed.engine"))
    with pytest.raises(ModelError, match="has the shape 1x3, and the engine fixed.engine was built for 2x3 to 2x3"):
        fixed(INPUTS[:1])


@pytest.mark.usefixtures("tensorrt")
def test_an_engine_of_another_gpu_names_the_rebuild(tmp_path: Path) -> None:
    """TensorRT returns nothing and writes the reason to its log."""
    path = write(
        tmp_path / "model.engine", refused="The engine plan file is not compatible: expecting compute 8.6 got 7.5"
    )
    refused(path, "by TensorRT 10.9: .*expecting compute 8.6 got 7.5.*Rebuild it here: trtexec --onnx=MODEL.onnx")


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"no context": True}, "gives no execution context: TensorRT gave no reason"),
        ({"type": "INT4"}, "has the type INT4 for 'x', which torch does not have"),
        ({"shape tensor": True}, "has the shape tensor 'x', whose values are sizes"),
    ],
)
def test_engines_that_cannot_be_run(tmp_path: Path, plan: dict[str, Any], words: str) -> None:
    """Each says what the engine has that the adapter cannot give."""
    refused(write(tmp_path / "model.engine", **plan), words)


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"fails": True}, "TensorRT could not run model.engine: out of memory"),
        ({"unknown size": True}, "the size of the output 'y' depends on the values of the inputs"),
    ],
)
def test_calls_that_fail(tmp_path: Path, plan: dict[str, Any], words: str) -> None:
    """A failed call is an error of the model, with TensorRT's reason."""
    model = load(write(tmp_path / "model.engine", **plan))
    with pytest.raises(ModelError, match=f"student raised .*{words}"):
        model(INPUTS)


@pytest.mark.usefixtures("tensorrt")
def test_the_device_is_a_gpu(tmp_path: Path) -> None:
    """There is no engine for a CPU."""
    path = write(tmp_path / "model.engine")
    refused(path, "runs on NVIDIA GPUs only; found the device 'cpu'", device="cpu")
    refused(path, "torch finds no GPU 'cuda:7' to run it on", device="cuda:7")


@pytest.mark.usefixtures("tensorrt")
def test_a_replica_is_a_second_context(tmp_path: Path) -> None:
    """Of the same engine, which is not read again."""
    model = load(write(tmp_path / "model.engine"))
    copied = model.replicate()
    assert copied.engine is model.engine
    assert copied.context is not model.context
    assert copied.fingerprint() == model.fingerprint()
    assert np.array_equal(copied(INPUTS)["y"].numpy(), 2 * INPUTS)
    with pytest.raises(NotApplicable, match="does not list its weights"):
        model.count_parameters()


def layer(kind: str, form: str) -> dict[str, Any]:
    return {"Name": kind, "LayerType": kind, "Inputs": [{"Name": "a", "Format/Datatype": form}]}


@pytest.mark.usefixtures("tensorrt")
def test_the_effective_precision_is_the_inspectors(tmp_path: Path) -> None:
    """Layers count by the type of their inputs; those that only move numbers do not."""
    layers = [
        layer("CaskConvolution", "Thirty-two wide channel vectorized row major Int8 format."),
        layer("CaskConvolution", "Row major linear FP16 format"),
        layer("gemm", "Half"),
        layer("gemm", "Row major linear BFloat16"),
        layer("gemm", "Float"),
        layer("Reformat", "Row major linear FP32"),
        layer("NoOp", "N/A due to dynamic shapes"),
    ]
    path = write(tmp_path / "model.engine", layers=layers)
    assert load(path).precision() == {"layers": {"float16": 2, "int8": 1, "bfloat16": 1, "float32": 1}}
    names = write(tmp_path / "names.engine", layers=["conv", "gemm"])
    assert "--profilingVerbosity=detailed" in load(names).precision()["layers"]


def test_an_engine_without_tensorrt_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is recognised by its first bytes, whatever its name."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    refused(write(tmp_path / "model.bin"), "needs a package that cannot be imported.*pip install tensorrt")


@pytest.mark.skipif(not REAL, reason="needs an NVIDIA GPU and tensorrt, which cannot build an engine without one")
def test_a_real_engine(tmp_path: Path) -> None:
    """Built here: y = 2x for batches of 1 to 4."""
    import tensorrt as trt

    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    inputs = network.add_input("x", trt.float32, (-1, 3))
    two = network.add_constant((1, 1), np.full((1, 1), 2, dtype=np.float32)).get_output(0)
    outputs = network.add_elementwise(inputs, two, trt.ElementWiseOperation.PROD).get_output(0)
    outputs.name = "y"
    network.mark_output(outputs)
    profile = builder.create_optimization_profile()
    profile.set_shape("x", (1, 3), (2, 3), (4, 3))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    path = tmp_path / "model.engine"
    path.write_bytes(builder.build_serialized_network(network, config))
    model = load(path)
    assert np.array_equal(model(INPUTS)["y"].cpu().numpy(), 2 * INPUTS)
    with pytest.raises(ModelError, match="built for 1x3 to 4x3"):
        model(np.zeros((6, 3)))
    assert model.precision()
    path.write_bytes(path.read_bytes()[:200])
    refused(path, "Rebuild it here")
