"""What exporters and runtimes say when they fail, and what to do about it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_modelbench.errors import cause_of, visible


class Known(NamedTuple):
    """A failure whose cause is known: a regular expression on its text, and what to do about it."""

    pattern: str
    remedy: str


ONE_BRANCH = "Converting a tensor to a Python boolean"
"""What a tracer says of a branch on values: the file has the branch that the example took, for all inputs."""
OUT_OF_BOUNDS = "out-of-bounds indices"
"""What TVM says of indices that may be outside of a tensor: the program reads what lies there, whatever it is."""
REMEDIES: tuple[Known, ...] = (
    Known(
        pattern=r"labelled by position|outputs are renamed",
        remedy="Exporters name outputs by their position. Return them in one order, also to an exporter, and write "
        "output_names in that order",
    ),
    Known(
        pattern=r"the output .+ is missing",
        remedy="Return the output from the exported module, and keep it among the file's outputs",
    ),
    Known(
        pattern=r"values are not finite, and are in the reference",
        remedy="Compare the file's weights with the model's: one is NaN, or too large for its number type. Look for "
        "code that only runs in an export, such as under torch.compiler.is_exporting()",
    ),
    Known(
        pattern=r"quantized::linear_dynamic|__obj_flatten__|LinearPackedParams|quantized_linear_dynamic",
        remedy="Dynamic int8 of torch cannot be exported. Export the float model and quantise the file "
        "(onnxruntime.quantization.quantize_dynamic), or quantise by PT2E",
    ),
    Known(
        pattern=r"aten\._int_mm|_int_mm",
        remedy="The exporter has no int8 matrix product. Use Int8WeightOnlyConfig of torchao, or quantise by PT2E",
    ),
    Known(
        pattern=r"GuardOnDataDependent|data-dependent|Could not guard on|Dynamic control flow is not supported",
        remedy="The model branches on values of its inputs. Write the branch as torch.cond or torch.where",
    ),
    Known(
        pattern=r"bfloat16|BFloat16|bf16",
        remedy="The operator has no bfloat16 there. Convert the model to float32 or float16 before the export",
    ),
    Known(
        pattern=r"(?i)training mode|training=True|train\(\)",
        remedy="Call eval() on the model before it is exported",
    ),
    Known(
        pattern=r"Constraints violated|specialized (?:it )?to be a constant|marked .{0,40}as dynamic but|"
        r"You marked .* dynamic|ConstraintViolation",
        remedy="A size of the inputs became a constant in the model. Use x.shape[0] without int(), and let "
        "reshape infer a size by -1; or write ':fixed' after the format to allow one batch size only",
    ),
    Known(
        pattern=rf"{OUT_OF_BOUNDS}|segfaults when there are",
        remedy="TVM reads negative indices outside of the tensor. Write x[:, x.shape[1] - 1] instead of x[:, -1]",
    ),
    Known(
        pattern=ONE_BRANCH,
        remedy="The exporter followed one branch of the model only. Write the branch as torch.cond or torch.where",
    ),
    Known(
        pattern=r"Converting a tensor to a Python (?:integer|float|number|index)",
        remedy="A size of the inputs became a constant in the model. Use x.shape[0] without int(), or write "
        "':fixed' after the format to allow one batch size only",
    ),
    Known(
        pattern=r"opset",
        remedy="Write opset= with a version that the runtime takes, or leave opset out",
    ),
    Known(
        pattern=r"(?i)no ONNX function found|UnsupportedOperator|No conversion rule|not implemented for|"
        r"OpNotImplemented",
        remedy="The format has no such operator. Write the operation with others, or choose another format",
    ),
    Known(
        pattern=r"cannot run \S+ on|asked for \w+ExecutionProvider",
        remedy="Install a build of the runtime that has the execution provider, or leave '@PROVIDER' out",
    ),
    Known(
        pattern=r"(?i)takes only batch|found an input of shape|"
        r"got invalid dimensions|invalid dimension|incompatible|Expected: \d+|is not equal to|"
        r"Guard failed",
        remedy="Name the dimensions that may vary: dynamic={'INPUT': [0, 1]}",
    ),
)
"""The first one that matches counts."""
MASKS = "Call torch.nn.utils.prune.remove(module, name) for each pruned tensor before the model is exported"
DENSE_ZEROS = (
    "The zeros of 2:4 sparsity are stored and computed as dense: neither the file nor a call gets smaller by them. "
    "Only an engine that is built with sparsity on a GPU uses them"
)
ANOTHER_MODEL = (
    "Compare the file, and a file of weights beside it, with those that were exported from the source; and check "
    "that both models get their inputs in the same order and layout"
)
_OURS = str(Path(__file__).parents[1])
_NOISE = ("Failed to export the model", "# ⬇", "Failed to ", "(Refer to the full stack trace", "An error occurred")
_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\w+)')


def remedy_for(text: str) -> str:
    """Return what to do about a failure; "" if its cause is not a known one.

    >>> remedy_for("Could not guard on data-dependent expression Eq(u0, 1)")
    'The model branches on values of its inputs. Write the branch as torch.cond or torch.where'
    """
    return next((remedy for pattern, remedy in REMEDIES if re.search(pattern, text)), "")


def remedy_for_warning(text: str) -> str:
    """Return what to do about a warning of an exporter that wrote a file all the same; "" for most warnings."""
    return remedy_for(text) if ONE_BRANCH in text else ""


def explained(error: BaseException) -> tuple[str, str]:
    """Return the first cause of a failure in one line with its place in the user's model, and its remedy.

    The remedy is looked up in the texts of all causes, the first cause's first: exporters wrap what tells most.
    """
    chain = list(_causes(error))
    texts = [_text(cause) for cause in chain]
    first = next((cause for cause in reversed(chain) if _text(cause).strip()), error)
    place = next(filter(None, map(_place, reversed(texts))), "") or _raised_at(chain[-1])
    remedy = next(filter(None, map(remedy_for, reversed(texts))), "")
    return f"{_cause(first)}{f', at {place}' if place else ''}", remedy


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - a foreign __str__
        return f"its message cannot be read ({type(failure).__name__})"


def _cause(error: BaseException) -> str:
    lines = [line.strip() for line in _text(error).splitlines()]
    telling = next((line for line in lines if line and not line.startswith(_NOISE)), "")
    return visible(f"{type(error).__name__}: {telling[:300]}") if telling else cause_of(error)


def _place(text: str) -> str:
    """Return the last place in a text that torch quotes of the user's model, as FILE:LINE."""
    users = [match for match in _PLACE.finditer(text) if not _is_foreign(match["file"])]
    return f"{Path(users[-1]['file']).name}:{users[-1]['line']} in {users[-1]['function']}" if users else ""


def _raised_at(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_foreign(frame.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _is_foreign(file: str) -> bool:
    return file.startswith(("<", _OURS)) or "site-packages" in file or "/lib/python3" in file


def attached_masks(module: Any) -> list[str]:
    """Return the names of tensors whose pruning masks or parametrisations are still attached to a module."""
    masks = [name.removesuffix("_mask") for name, _ in module.named_buffers() if name.endswith("_mask")]
    originals = {name.removesuffix("_orig") for name, _ in module.named_parameters() if name.endswith("_orig")}
    parametrised = [
        f"{name}.{tensor}".lstrip(".")
        for name, part in module.named_modules()
        for tensor in getattr(part, "parametrizations", ())
    ]
    return [name for name in masks if name in originals] + parametrised
