"""Which adapter fits which object; nothing is imported before an object of its library turns up."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import ModelError, cause_of, shown
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.endpoints import adapter_of
from pytest_modelbench.models.saved import Filled, Loading, SavedModel, fill, load_saved


@dataclass(frozen=True, kw_only=True)
class AdapterEntry:
    """A registry row: objects of class `base` are wrapped by `adapter`, both as `module:name`.

    An adapter gets the object and its name, also the device if it `takes_device`; one that `takes_loading` gets the
    object and a `Loading`.
    """

    base: str
    adapter: str
    takes_device: bool = False
    takes_loading: bool = False


ADAPTERS: dict[str, AdapterEntry] = {
    "keras": AdapterEntry(  # before torch: a Keras model may be a module
        base="keras:Model", adapter="pytest_modelbench.models.adapters.keras:from_module", takes_loading=True
    ),
    "torch": AdapterEntry(
        base="torch.nn:Module", adapter="pytest_modelbench.models.adapters.torch_module:TorchModel", takes_device=True
    ),
    "exported": AdapterEntry(
        base="torch.export:ExportedProgram",
        adapter="pytest_modelbench.models.adapters.saved_torch:from_program",
        takes_device=True,
    ),
    "sklearn": AdapterEntry(
        base="sklearn.base:BaseEstimator", adapter="pytest_modelbench.models.adapters.sklearn_estimator:SklearnModel"
    ),
    "text function": AdapterEntry(
        base="pytest_modelbench.models.functions:TextFunction",
        adapter="pytest_modelbench.models.adapters.function:from_text_function",
    ),
    "pipeline": AdapterEntry(
        base="transformers.pipelines.base:Pipeline",
        adapter="pytest_modelbench.models.adapters.huggingface:from_pipeline",
    ),
}
EXTENSIONS: dict[str, AdapterEntry] = {}
"""Adapters that others bring to a session, asked before the built-in ones."""
_CALLABLE = AdapterEntry(
    base="builtins:object", adapter="pytest_modelbench.models.adapters.callables:from_callable", takes_loading=True
)


def adapt(candidate: Any, loading: Loading) -> Model:
    """Wrap an object of the user's into the adapter that fits it; a `Model` is copied, and the copy gets the name.

    The copy is shallow: it runs the same model. One object may so be both teacher and student, each by its name.

    Args:
        candidate: a module, estimator, callable, `Model`, or the path of a saved model.
        loading: its name, the device for adapters that can move a model, whether pickles are allowed.

    Raises:
        ModelError: nothing fits; the message says what was found and what is expected.
    """
    name = loading.name
    if isinstance(candidate, Model):
        return candidate.named(name)
    if isinstance(candidate, str | Path):
        candidate = SavedModel.parse(str(candidate))
    if isinstance(candidate, SavedModel):
        return load_saved(candidate, loading)
    if (endpoint := adapter_of(candidate)) is not None:
        model: Model = _resolve(f"pytest_modelbench.models.adapters.{endpoint}")(candidate, loading)
        return model
    if isinstance(candidate, Filled):
        return fill(candidate, loading)
    if _is_pair(candidate):
        model = _resolve("pytest_modelbench.models.adapters.causal_lm:from_pair")(candidate, loading)
        return model  # noqa: RET504 - as below
    if isinstance(candidate, type):
        raise ModelError(f"{name} is the class {candidate.__name__}, not a model. Return {candidate.__name__}(...)")
    for entry in _fitting(candidate):
        adapter = _resolve(entry.adapter)
        if entry.takes_loading:
            model = adapter(candidate, loading)
            return model  # noqa: RET504 - as below
        model = adapter(candidate, name, loading.device) if entry.takes_device else adapter(candidate, name)
        return model  # noqa: RET504 - what an adapter returns has no type
    raise ModelError(
        f"{name} is {shown(candidate)} of type {type(candidate).__name__}; expected a torch.nn.Module, a fitted "
        "scikit-learn estimator, a callable or the path of a saved model. Return the model itself"
    )


def _is_pair(candidate: Any) -> bool:
    """Whether a candidate is a module with its tokeniser, in any order: one of them shows that it is for texts."""
    module = getattr(sys.modules.get("torch.nn"), "Module", ())
    several = isinstance(candidate, tuple | list) and len(candidate) > 1
    if not several or not any(isinstance(part, module) for part in candidate):
        return False
    return any(
        callable(getattr(part, name, None)) for part in candidate for name in ("generate", "convert_tokens_to_ids")
    )


def _fitting(candidate: Any) -> Iterator[AdapterEntry]:
    for entry in (*EXTENSIONS.values(), *ADAPTERS.values()):
        module, _, name = entry.base.partition(":")
        # an object can only be an instance of a class whose module is loaded already
        if module in sys.modules and isinstance(candidate, getattr(sys.modules[module], name, ())):
            yield entry
    if callable(candidate):
        yield _CALLABLE


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"the adapter {path!r} cannot be imported: {cause_of(error)}") from error
