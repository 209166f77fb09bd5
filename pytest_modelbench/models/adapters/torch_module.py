"""Adapter for `torch.nn.Module`."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import nn

from pytest_modelbench.data.arrays import leaves, map_tree, of_unlike_shapes, select_output
from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import MeasurementError, ModelError, NotApplicable, message_of, visible
from pytest_modelbench.models.adapters.torch_device import finishing
from pytest_modelbench.models.adapters.torch_gradient import gradient_of
from pytest_modelbench.models.base import Artefact, Model, ParameterCount, keep_interrupt
from pytest_modelbench.models.content import ContentHash
from pytest_modelbench.models.reads import Reads, follow
from pytest_modelbench.models.weights import Weights

_MODULE_INTERNALS = frozenset(nn.Module().__dict__)
_COPY_HEADROOM = 4
_SHOWN = 3
_WHOLE = {"uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "bool"}
_CAST_TO = {torch.float16, torch.bfloat16, torch.float64}


class TorchModel(Model):
    """A torch module in evaluation and inference mode, on one device.

    Args:
        module: the module; it is moved to `device` in place, never copied for that.
        name: `teacher`, or the student's label.
        device: as torch spells it; None leaves the module where its first parameter is.

    Raises:
        ModelError: the device does not exist here.
    """

    kind = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, module: nn.Module, name: str, device: str | None = None) -> None:
        super().__init__(name)
        self.module = module
        self.reads: Reads | None = None
        if device is not None:
            try:
                module.to(device)
            except (RuntimeError, AssertionError, NotImplementedError) as error:
                first_line = message_of(error)
                raise ModelError(f"{name} cannot be moved to device {device!r}: {first_line}") from error
        tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if not nn.parameter.is_lazy(tensor)]
        real = [tensor.device for tensor in tensors if tensor.device.type != "meta"]
        self.device = torch.device(device) if device else (real or [torch.device("cpu")])[0]
        self.computes_here = self.device.type == "cpu"
        floating = [tensor.dtype for tensor in tensors if tensor.is_floating_point() and tensor.element_size() > 1]
        self.dtype = floating[0] if floating else torch.float32
        has_floats = any(parameter.is_floating_point() for parameter in module.parameters())
        self._computes_in = self.dtype if has_floats else None  # buffers alone may be unpacked into another type

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Evaluation mode without gradients; every submodule's own mode is restored after it."""
        training = [module for module in self.module.modules() if getattr(module, "training", False)]
        if training:  # frozen TorchScript has no mode
            evaluate(self.module, training)
        try:
            with torch.inference_mode():
                yield
        finally:
            for module in training:
                module.training = True

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Move a batch to the device; mappings become keyword arguments, tuples positional ones.

        Arrays become tensors, and all floats have the module's own dtype then: that of its first parameter.
        """
        return finishing(self.applied(map_tree(self.to_device, inputs)), self.device)

    def applied(self, prepared: Any) -> Callable[[], Any]:
        """Return the call of the module on a prepared batch."""
        if isinstance(prepared, dict):
            return functools.partial(self.module, **prepared)
        if isinstance(prepared, tuple):
            return functools.partial(self.module, *prepared)
        return functools.partial(self.module, prepared)

    def to_device(self, leaf: Any) -> Any:
        """Return an array or tensor as a tensor on the module's device, floats in the type of its parameters.

        Other types stay: ids of an embedding are integers, and masks are booleans. The computing type of a module
        without parameters is unknown: tensors stay as they are, and arrays become floats of 32 bits unless its
        buffers have 64.
        """
        if isinstance(leaf, torch.Tensor):
            return leaf.to(self.device, self._computes_in if leaf.is_floating_point() else leaf.dtype)
        if of_unlike_shapes(leaf):
            return [self.to_device(sample) for sample in leaf]
        try:
            tensor = torch.as_tensor(leaf.to_numpy() if hasattr(leaf, "to_numpy") else np.asarray(leaf))
        except TypeError:
            return leaf  # not numeric (a list of texts): the module knows what to do with it
        usual = torch.float64 if self.dtype == torch.float64 else torch.float32
        wanted = (self._computes_in or usual) if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.device, wanted)

    @property
    def _casts(self) -> bool:
        return self._computes_in in _CAST_TO

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """Explain what an exported program's shapes or the type of the inputs have to do with it."""
        failure = super().failure(inputs, error)
        hint = self._hint(inputs, message_of(error)) if isinstance(error, Exception) else ""
        return self._blamed(f"{failure}. {hint}") if hint else failure

    def _hint(self, inputs: Any, message: str) -> str:
        if isinstance(self.module, torch.fx.GraphModule) and ("shape" in message or "Guard failed" in message):
            return (
                "An exported program takes only the shapes it was exported for: export it with "
                "dynamic_shapes={...} for the batch dimension, or write EvalData(..., batch_size=N) and batch_size=N"
            )
        types = {str(getattr(leaf, "dtype", "no type")).removeprefix("torch.") for leaf in leaves(inputs)}
        about_types = any(word in message for word in ("dtype", "scalar type", "type ("))
        if about_types and (types <= _WHOLE or self._computes_in is None):
            name = _name_of(self.dtype)
            return (
                f"The inputs are {' and '.join(sorted(types))}, and the model computes in {name}: convert them, or "
                f"write EvalData(..., dtype={name!r})"
            )
        return ""

    def pull_back(
        self, inputs: Any, select: str | int | None, weights: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    ) -> npt.NDArray[np.float64] | None:
        """Return the gradient by the inputs; None where none comes back."""
        with self.running():
            return gradient_of(
                lambda prepared: select_output(self.applied(prepared)(), select, self.name),
                self.to_device(inputs),
                weights,
            )

    def replicate(self) -> Model | None:
        """Return a deep copy, or None for a module that cannot be copied or that memory cannot hold."""
        module = self.copied_module()
        return None if module is None else self.around(module)

    def around(self, module: nn.Module) -> TorchModel:
        """Return a model of another module that takes the same inputs."""
        return TorchModel(module, self.name)

    def compiled(self) -> Model:
        """Return the module compiled by torch.compile, which shares its weights."""
        return CompiledModel(self)

    def with_sparse_kernels(self) -> Model:
        """Return a copy whose 2:4 sparse matrices are multiplied by the GPU's kernels for them."""
        from pytest_modelbench.models.semi_structured import with_sparse_kernels

        return self.around(with_sparse_kernels(self.module))

    def weight_bytes(self, device: str = "cpu") -> int:
        """Return the bytes of its tensors on a kind of device, shared ones once; packed weights are on the CPU."""
        packed = 0
        try:
            weights = self._weights()
            tensors = weights.tensors()
            packed = weights.packed_bytes() if device == "cpu" else 0
        except MeasurementError:  # packed weights that cannot be opened
            tensors = [*self.module.parameters(), *self.module.buffers()]
        there = [t.untyped_storage() for t in tensors if _is_plain(t) and t.device.type == device]
        return packed + sum({storage.data_ptr(): storage.nbytes() for storage in there}.values())

    def copied_module(self) -> nn.Module | None:
        """Return a deep copy of the module, or None as for `replicate`."""
        needed = sum(t.numel() * t.element_size() for t in self.module.state_dict().values() if _is_plain(t))
        if self.device.type == "cpu" and needed * _COPY_HEADROOM > psutil.virtual_memory().available:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, which a suite may have turned into errors
                copied: object = copy.deepcopy(self.module)
        except BaseException as error:  # noqa: BLE001 - whatever a user's __deepcopy__ raises means: not copyable
            keep_interrupt(error)
            return None
        return copied if isinstance(copied, nn.Module) else None

    def fingerprint(self) -> str:
        """Hash the weights, the classes and the plain attributes of all submodules.

        Classes, functions and hooks count with their code, so that two models are only called equal when they
        compute the same thing; attributes without content to hash count by identity.
        """
        if any(nn.parameter.is_lazy(tensor) for tensor in self.module.parameters()):
            return super().fingerprint()  # a lazy module has no content before its first call
        content = ContentHash(self.module)
        try:
            self._add_to(content)
        except Exception:  # noqa: BLE001 - an attribute of the user's that nobody can read has no content
            return super().fingerprint()
        return f"torch:{'object-' if content.by_identity else ''}{content.hexdigest()}"

    def weights_hash(self) -> str | None:
        """Hash the state_dict and the classes of all submodules; None where the user's code does not give it."""
        content = ContentHash(self.module)
        try:
            for path, module in self.module.named_modules(remove_duplicate=False):
                content.add(path, type(module).__qualname__)
            for key, value in self.module.state_dict(keep_vars=True).items():
                content.add(key)
                content.add_state(value)
        except Exception:  # noqa: BLE001 - as for the fingerprint
            return None
        return content.hexdigest()

    def _add_to(self, content: ContentHash) -> None:
        for path, module in self.module.named_modules(remove_duplicate=False):
            content.add(path, content.text_of(type(module)))
            for key, value in sorted(vars(module).items()):
                if key not in _MODULE_INTERNALS and key != "extra_repr":  # which only says how it is printed
                    content.add(key, content.text_of(value))
            hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]  # noqa: SLF001
            content.add(content.text_of(hooks))
        for key, value in self.module.state_dict(keep_vars=True).items():
            content.add(key)
            content.add_state(value)
        for key, buffer in self.module.named_buffers(remove_duplicate=False):  # also those that are not saved
            content.add(key)
            content.add_state(buffer)

    def unsure(self) -> bool:
        """Whether buffers or attributes may be weights, or nothing is known to be one."""
        return self._weights().unsure()

    def look(self, inputs: Any) -> None:
        """Follow one forward pass to learn which tensors are weights.

        Raises:
            ModelError: the model raised.
        """
        prepared = map_tree(self.to_device, inputs)
        with self.running():
            try:
                self.reads = follow(self.bind(prepared), prepared)
            except BaseException as error:
                raise self.failure(inputs, error) from error

    def count_parameters(self) -> ParameterCount:
        """Count what the module computes with: see `models.weights`.

        Raises:
            MeasurementError: packed weights of a kind that cannot be opened, or products with weights that cannot be
                found.
        """
        return self._weights().count()

    def _weights(self) -> Weights:
        if any(nn.parameter.is_lazy(tensor) for tensor in (*self.module.parameters(), *self.module.buffers())):
            raise MeasurementError(
                f"{self.name} has lazy layers without weights so far. Run a batch before you return the model"
            )
        weights = Weights(self.module, self.name)
        if self.reads is not None:
            weights.look(self.reads)
        return weights

    def artefact(self) -> Artefact:
        """Return the size of the state_dict as safetensors, or as `torch.save` writes it where it is packed.

        Weights that a state_dict lacks are added. TorchScript with constants is what `torch.jit.save` writes.
        """
        weights = self._weights()
        if isinstance(self.module, torch.jit.ScriptModule) and weights.outside():
            size = len(_script_bytes(self.module))
            return Artefact(size_bytes=size, method="TorchScript as torch.jit.save writes it")
        unused = weights.unused()
        saved = {key: value for key, value in self.module.state_dict().items() if key not in unused}
        state = _deployed(saved)
        added = [held for held in weights.outside() if not held.saved]
        state |= {f"{held.name} ({number})": _separate(held.tensor) for number, held in enumerate(added)}
        note = f", with weights that it lacks: {_listed([held.name for held in added])}" if added else ""
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
            path = Path(folder) / "model"
            if all(_is_plain(value) for value in state.values()):
                from safetensors.torch import save_file

                save_file(state, str(path))
                method = f"state_dict as safetensors{note}"
            else:
                torch.save(state, path)
                method = f"state_dict by torch.save (it holds packed weights){note}"
            return Artefact(size_bytes=path.stat().st_size, method=method)

    def describe(self) -> dict[str, Any]:
        """Return class, device, dtype and number of parameters."""
        return {
            **super().describe(),
            "class": f"{type(self.module).__module__}.{type(self.module).__qualname__}",
            "device": str(self.device),
            "dtype": _name_of(self.dtype),
            **({"inputs": f"floating-point inputs cast to {_name_of(self.dtype)}"} if self._casts else {}),
        }


class CompiledModel(TorchModel):
    """A module compiled by torch.compile; it is not copied, because each copy would be compiled anew."""

    def __init__(self, original: TorchModel) -> None:
        super().__init__(original.module, original.name)
        self.module = cast("nn.Module", torch.compile(original.module))
        self._original = original

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run as the original does: an exported module, for example, refuses a switch to evaluation mode."""
        with self._original.running():
            yield

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Refuse prompts: one of them takes many calls, each of another shape."""
        if isinstance(inputs, Prompts):
            raise NotApplicable(f"{self.name} generates: compile=True is for one call. Leave it out for prompts")
        return super().bind(inputs)

    def replicate(self) -> Model | None:
        """Return None."""
        return None


def _deployed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state_dict without other names of the same tensor, and of a view only what it shows."""
    kept: dict[str, Any] = {}
    seen, storages = set(), set()
    for key, value in state.items():
        if _is_plain(value) and value.numel() and value.device.type != "meta":
            same = (value.data_ptr(), value.dtype, value.shape, value.stride())
            storage = value.untyped_storage()
            if same in seen:
                continue
            whole = storage.nbytes() == value.numel() * value.element_size() and value.is_contiguous()
            kept[key] = value if whole and storage.data_ptr() not in storages else value.contiguous().clone()
            seen.add(same)
            storages.add(storage.data_ptr())
        else:
            kept[key] = value
    return kept


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def evaluate(module: nn.Module, training: Sequence[nn.Module]) -> None:
    """Put a module into evaluation mode; a part that torch.export made has none, and runs as it was exported."""
    try:
        module.eval()
    except NotImplementedError:
        for part in training:
            part.training = False


def _separate(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().clone() if _is_plain(tensor) else tensor


def _script_bytes(module: torch.jit.ScriptModule) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated, and still deployed
        torch.jit.save(module, buffer)
    return buffer.getvalue()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(visible, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _is_plain(value: Any) -> bool:
    """Whether a value is a dense tensor of torch's own, not one that packs another representation."""
    return (
        type(value) in {torch.Tensor, nn.Parameter, nn.Buffer}
        and not value.is_quantized
        and value.layout == torch.strided
    )
