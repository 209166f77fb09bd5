"""Weights that are computed from others in every call: parametrisations, unmerged adapters, 8-bit weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.hypotheses.masks_attached import masked_tensors
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    from torch import nn

    from pytest_modelbench.diagnosis.constant_work import Operator

_FEWEST_ELEMENTS = 1024
_GENERAL = ("memory_bound", "dispatch_bound", "copies_and_casts")


def weights_rebuilt(subject: Subject) -> Finding | None:
    """Time the student with its weights computed once; None if no operator depends on weights only.

    Parametrisations are removed in a copy. Other operators are timed alone, on what they were given in the call.
    """
    from pytest_modelbench.diagnosis.constant_work import constant_operators, integer_weights

    module = torch_module(subject)
    masked = [f"{path}.{name}".lstrip(".") for path, name in masked_tensors(module)]
    known = integer_weights(module).union(*({f"{name}_orig", f"{name}_mask"} for name in masked))
    operators = [one for one in constant_operators(subject, module) if not one.sources & known]
    if sum(one.elements for one in operators) < _FEWEST_ELEMENTS:
        return None
    finding = Finding(
        cause="weights_rebuilt",
        text=f"{len(operators)} operators of every call depend on weights only",
        evidence=_evidence(operators),
        counterfactual="the parametrisations removed",
        remedy="Compute these weights once: torch.nn.utils.parametrize.remove_parametrizations, "
        "remove_weight_norm, or merge the adapters",
        explains=_GENERAL,
    )
    if all(any(".parametrizations." in f".{name}" for name in one.sources) for one in operators):
        return timed(subject, finding, call_of(subject, without_parametrisations(copied(subject))))
    return _timed_alone(subject, finding, operators)


def dequantise_every_call(subject: Subject) -> Finding | None:
    """Time the operators that turn small integers into the weights of a call; None if there is none."""
    from pytest_modelbench.diagnosis.constant_work import constant_operators, integer_weights

    module = torch_module(subject)
    integers = integer_weights(module)
    operators = [one for one in constant_operators(subject, module) if one.sources & integers] if integers else []
    if sum(one.elements for one in operators) < _FEWEST_ELEMENTS:
        return None
    tensors = len(frozenset[str]().union(*(one.sources for one in operators)) & integers)
    finding = Finding(
        cause="dequantise_every_call",
        text=f"{tensors} integer weights are turned into floats in every call, by {len(operators)} operators",
        evidence={"integer_weights": tensors, **_evidence(operators)},
        remedy="Use kernels that multiply integers (torch.ao.quantization.quantize_dynamic, ONNX Runtime), or "
        "dequantise once at load if the smaller memory is not needed",
        explains=("weights_rebuilt", *_GENERAL),
    )
    return _timed_alone(subject, finding, operators)


def without_parametrisations(module: nn.Module) -> nn.Module:
    """Replace the parametrised tensors of a copied module by their values, and return it.

    `remove_parametrizations` would delete the property from the class that the copy shares with the original.
    """
    import torch
    from torch.nn.utils import parametrize

    with torch.inference_mode(mode=False), torch.no_grad():
        for part in [one for one in module.modules() if parametrize.is_parametrized(one)]:
            values = {name: getattr(part, name).detach().clone() for name in part.parametrizations}  # type: ignore[union-attr]
            part.__class__ = parametrize.type_before_parametrizations(part)
            del part.parametrizations
            for name, value in values.items():
                part.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    return module


def _timed_alone(subject: Subject, finding: Finding, operators: Sequence[Operator]) -> Finding:
    from pytest_modelbench.diagnosis.constant_work import replay

    share = subject.watch.ratio(replay(operators), subject.call)
    return replace(finding, counterfactual="these operators alone, on the same weights", gives_back=share)


def _evidence(operators: Sequence[Operator]) -> dict[str, Any]:
    return {
        "operators": len(operators),
        "elements": sum(one.elements for one in operators),
        "names": sorted({one.name for one in operators})[:10],
        "sources": sorted(frozenset[str]().union(*(one.sources for one in operators)))[:10],
    }
