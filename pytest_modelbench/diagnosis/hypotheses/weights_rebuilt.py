"""Weights that are computed from others in every call: parametrisations, unmerged adapters, 8-bit weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import (
    CHANGES_OUTPUTS,
    call_of,
    copied,
    part_saved,
    same_outputs,
    timed,
    torch_module,
)
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.hypotheses.masks_attached import masked_tensors
from pytest_modelbench.diagnosis.subject import Subject
from pytest_modelbench.errors import cause_of
from pytest_modelbench.results import Estimate

if TYPE_CHECKING:
    from torch import nn

    from pytest_modelbench.diagnosis.constant_work import Operator

_FEWEST_ELEMENTS = 1024


def weights_rebuilt(subject: Subject) -> Finding | None:
    """Time the student with its weights computed once; None if no operator depends on weights only.

    Parametrisations are removed in a copy. What other operators make is kept in a trace of the call.
    """
    from pytest_modelbench.diagnosis.constant_work import constant_operators, integer_weights

    module = torch_module(subject)
    masked = [f"{path}.{name}".lstrip(".") for path, name in masked_tensors(module)]
    excluded = integer_weights(module).union(*({f"{name}_orig", f"{name}_mask"} for name in masked))
    operators = [operator for operator in constant_operators(subject, module) if not operator.sources & excluded]
    if sum(operator.elements for operator in operators) < _FEWEST_ELEMENTS:
        return None
    finding = Finding(
        cause="weights_rebuilt",
        text=f"{len(operators)} operators of every call depend on weights only",
        evidence=_evidence(operators),
        counterfactual="the parametrisations removed",
        remedy="Compute these weights once: torch.nn.utils.parametrize.remove_parametrizations, "
        "remove_weight_norm, or merge the adapters",
        explains=("memory_bound", "dispatch_bound", "casts"),
    )
    if all(any(".parametrizations." in f".{name}" for name in operator.sources) for operator in operators):
        return timed(subject, finding, call_of(subject, without_parametrisations(copied(subject))))
    finding = replace(finding, counterfactual="these operators computed in advance")
    return _timed_in_advance(subject, finding, operators, lambda sources: not sources & excluded)


def dequantise_every_call(subject: Subject) -> Finding | None:
    """Time the student with its integer weights turned into floats in advance; None if no operator does that."""
    from pytest_modelbench.diagnosis.constant_work import constant_operators, integer_weights

    module = torch_module(subject)
    integers = integer_weights(module)
    operators = (
        [operator for operator in constant_operators(subject, module) if operator.sources & integers]
        if integers
        else []
    )
    if sum(operator.elements for operator in operators) < _FEWEST_ELEMENTS:
        return None
    tensors = len(frozenset[str]().union(*(operator.sources for operator in operators)) & integers)
    finding = Finding(
        cause="dequantise_every_call",
        text=f"{tensors} integer weights are turned into floats in every call, by {len(operators)} operators",
        evidence={"integer_weights": tensors, **_evidence(operators)},
        counterfactual="these weights turned into floats in advance",
        remedy="Use kernels that multiply integers (torch.ao.quantization.quantize_dynamic, ONNX Runtime), or "
        "dequantise once at load if the smaller memory is not needed",
        explains=("memory_bound", "dispatch_bound", "casts"),
    )
    return _timed_in_advance(subject, finding, operators, lambda sources: bool(sources & integers))


def without_parametrisations(module: nn.Module) -> nn.Module:
    """Replace the parametrised tensors of a copied module by their values, and return it.

    `remove_parametrizations` would delete the property from the class that the copy shares with the original.
    """
    import torch
    from torch.nn.utils import parametrize

    with torch.inference_mode(mode=False), torch.no_grad():
        for part in list(filter(parametrize.is_parametrized, module.modules())):
            values = {name: getattr(part, name).detach().clone() for name in part.parametrizations}  # type: ignore[union-attr]
            part.__class__ = parametrize.type_before_parametrizations(part)
            del part.parametrizations
            for name, value in values.items():
                part.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    return module


def _timed_in_advance(
    subject: Subject, finding: Finding, operators: Sequence[Operator], wanted: Callable[[frozenset[str]], bool]
) -> Finding:
    """Time the call's operators against those that are left when wanted results are computed in advance.

    A call that cannot be traced is timed against these operators alone.
    """
    from pytest_modelbench.diagnosis.folded import folded

    try:
        whole, less = folded(subject, torch_module(subject), wanted)
        same = same_outputs(subject, less) and same_outputs(subject, whole)
    except Exception as error:  # noqa: BLE001 - a trace runs the user's code in a way that it may not be made for
        return _timed_alone(subject, finding, operators, cause_of(error))
    if not same:
        return _timed_alone(subject, finding, operators, CHANGES_OUTPUTS)
    return replace(finding, gives_back=part_saved(subject, whole, less))


def _timed_alone(subject: Subject, finding: Finding, operators: Sequence[Operator], reason: str) -> Finding:
    from pytest_modelbench.diagnosis.constant_work import replay

    share = subject.watch.ratio(replay(operators), subject.call)
    capped = Estimate(value=min(share.value, 1.0), low=min(share.low or 0.0, 1.0), high=min(share.high or 1.0, 1.0))
    return replace(
        finding,
        counterfactual="these operators alone",
        evidence={**finding.evidence, "not_traced": f"{reason:.200}"},
        gives_back=capped,
    )


def _evidence(operators: Sequence[Operator]) -> dict[str, Any]:
    return {
        "operators": len(operators),
        "elements": sum(operator.elements for operator in operators),
        "names": sorted({operator.name for operator in operators})[:10],
        "sources": sorted(frozenset[str]().union(*(operator.sources for operator in operators)))[:10],
    }
