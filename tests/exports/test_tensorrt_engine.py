"""Building TensorRT engines: the logic against a fake of the functions that it calls.

TensorRT needs an NVIDIA GPU; nothing here was run on one.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator
from enum import Enum, IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.options import ExportOptions, Target
from pytest_modelbench.exports.source import Source, source_of
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

MODULES = ("pytest_modelbench.exports.tensorrt_engine", "pytest_modelbench.models.adapters.tensorrt")


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class Flag(IntEnum):
    STRONGLY_TYPED = 1


class Logger:
    """The base class of loggers."""

    Severity = Severity


class Fake(ModuleType):
    """The functions of TensorRT's Python API that building calls."""

    def __init__(self) -> None:
        super().__init__("tensorrt")
        self.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)  # torch asks whether it is installed
        self.ILogger = Logger
        self.NetworkDefinitionCreationFlag = Flag
        self.parses, self.builds = True, True
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
        self.flags = 0
        self.Builder, self.OnnxParser = self._builder, self._parser

    def _builder(self, logger: Any) -> Any:
        profile = SimpleNamespace(set_shape=lambda name, *shapes: self.shapes.update({name: shapes}))

        def create_network(flags: int) -> Any:
            self.flags = flags
            port = SimpleNamespace(name="x", shape=(-1, 8))
            return SimpleNamespace(num_inputs=1, get_input=lambda _: port)

        def build(_: Any, config: Any) -> bytes | None:
            assert config.profiles == [profile]
            logger.log(Logger.Severity.WARNING, "slow")
            if not self.builds:
                logger.log(Logger.Severity.ERROR, "no implementation for Det")
                return None
            return b"ftrt engine"

        def config() -> Any:
            profiles: list[Any] = []
            return SimpleNamespace(profiles=profiles, add_optimization_profile=profiles.append)

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=config,
            create_optimization_profile=lambda: profile,
            build_serialized_network=build,
        )

    def _parser(self, network: Any, logger: Any) -> Any:
        assert network.num_inputs == 1
        assert logger.errors == []

        def parse(path: str) -> bool:
            assert Path(path).stat().st_size
            return self.parses

        return SimpleNamespace(parse_from_file=parse, num_errors=1, get_error=lambda _: "unsupported Det")


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    yield fake
    for module in MODULES:
        sys.modules.pop(module, None)


def source() -> Source:
    model = adapt(torch.nn.Linear(8, 3).eval(), Loading(name="student"))
    batch = np.ones((4, 8), dtype=np.float32)
    tensor = torch.from_numpy(batch)
    return source_of(model, [tensor], Target(format="tensorrt"), ExportOptions(batch_sizes=(1, 2, 16)), model(tensor))


@pytest.mark.filterwarnings("default")
def test_an_engine_takes_all_batch_sizes(tensorrt: Fake, tmp_path: Path) -> None:
    """From one sample to the largest that is asked for, in a strongly typed network."""
    from pytest_modelbench.exports.tensorrt_engine import export

    path = export(source(), tmp_path)
    assert path.read_bytes() == b"ftrt engine"
    assert tensorrt.shapes == {"x": ((1, 8), (4, 8), (16, 8))}
    assert tensorrt.flags == 2


@pytest.mark.filterwarnings("default")
def test_what_tensorrt_refuses_is_told(tensorrt: Fake, tmp_path: Path) -> None:
    """With the parser's or the builder's own errors, in one line."""
    from pytest_modelbench.exports.tensorrt_engine import export

    tensorrt.builds = False
    with pytest.raises(ModelError, match="cannot build an engine: no implementation for Det"):
        export(source(), tmp_path)
    tensorrt.parses = False
    with pytest.raises(ModelError, match="cannot read the ONNX file: unsupported Det"):
        export(source(), tmp_path)
