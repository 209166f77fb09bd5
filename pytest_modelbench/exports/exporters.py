"""Which function exports to which format, and what must be installed for it. Standard library only."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ONNX = "'pytest-modelbench[onnx]'"
OPENVINO = "'pytest-modelbench[openvino]'"


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One row of the table.

    Attributes:
        export: the function of `exports` that writes the file, as "module:function"; it gets a `Source` and a folder.
        packages: what must import, by the name of the module.
        install: what to give `pip install` if one is missing.
        check: the function that checks the file, as "module:function"; it returns what it saw. "" for none.
        variants: functions that export a variant instead.
        estimators: whether it exports scikit-learn estimators too; they need `estimator_packages` as well.
        estimator_packages: see above.
        screened: whether a machine that cannot run the format screens the model's ONNX file for it.
    """

    export: str
    packages: tuple[str, ...]
    install: str
    check: str = ""
    variants: Mapping[str, str] | None = None
    estimators: bool = False
    estimator_packages: tuple[str, ...] = ()
    screened: bool = False

    def function(self, variant: str) -> Callable[..., Any]:
        """Return the function that exports a variant."""
        return imported((self.variants or {}).get(variant, self.export))


EXPORTERS: Mapping[str, Exporter] = {
    "onnx": Exporter(
        export="onnx_file:export",
        packages=("onnx", "onnxscript", "onnxruntime"),
        install=ONNX,
        check="onnx_file:check",
        estimators=True,
        estimator_packages=("skl2onnx",),
    ),
    "openvino": Exporter(
        export="openvino_ir:export",
        packages=("openvino",),
        install=OPENVINO,
        variants={"f16": "openvino_ir:export_f16"},
    ),
    "torch_export": Exporter(export="torch_export:export", packages=("torch",), install="torch"),
    "aotinductor": Exporter(export="aotinductor:export", packages=("torch",), install="torch"),
    "executorch": Exporter(export="executorch_program:export", packages=("executorch.exir",), install="executorch"),
    "tvm": Exporter(export="tvm_library:export", packages=("tvm",), install="apache-tvm"),
    "tensorrt": Exporter(
        export="tensorrt_engine:export",
        packages=("onnx", "onnxscript", "tensorrt"),
        install="tensorrt",
        screened=True,
    ),
}
"""By the name of the format."""

DISTRIBUTIONS: Mapping[str, str] = {"tvm": "apache-tvm"}
"""The distribution of a package whose name differs."""


def imported(path: str) -> Callable[..., Any]:
    """Return a function of `exports` that a row names."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f"pytest_modelbench.exports.{module}"), name)
    return function


def versions(exporter: Exporter, *, estimator: bool) -> dict[str, str]:
    """Import what an exporter needs; return the version of each package.

    Raises:
        ImportError: one is missing.
    """
    names = (*(exporter.estimator_packages if estimator else ()), *exporter.packages)
    installed = {}
    for name in names:
        importlib.import_module(name)
        top = name.partition(".")[0]
        installed[top] = importlib.metadata.version(DISTRIBUTIONS.get(top, top))
    return installed
