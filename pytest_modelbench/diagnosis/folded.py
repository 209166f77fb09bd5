"""The operators of one call as a graph, and the same graph with results that depend on weights only kept in it."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from pytest_modelbench.data.arrays import map_tree
from pytest_modelbench.diagnosis.constant_work import named_weights
from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.reads import address

_MOST_UNKNOWN = 64
"""A larger tensor that is neither a weight nor made in the call is taken for a result that the trace lost."""
Wanted = Callable[[frozenset[str]], bool]


def folded(subject: Subject, module: torch.nn.Module, wanted: Wanted) -> tuple[Call, Call]:
    """Return two calls that run the student's operators without its Python code: all of them, and fewer.

    Args:
        subject: the student with its batch.
        module: its module.
        wanted: says of the names of the weights that a result was made of whether it is computed in advance.

    Raises:
        NotApplicable: the student's adapter does not run a module of torch, or the trace misses a part of the call.
    """
    student = subject.student
    if type(student) is not TorchModel:
        raise NotApplicable(f"the operators of a {student.kind} cannot be traced")
    leaves, form = tree_flatten(map_tree(student.to_device, subject.inputs))
    whole: fx.GraphModule = make_fx(lambda *flat: student.applied(tree_unflatten(flat, form))())(*leaves)
    subject.beat()
    names = {address(tensor): name for name, tensor in named_weights(module)}
    whole.graph.eliminate_dead_code()
    whole.recompile()
    constants = _constants(whole, names, wanted)
    if not constants:
        raise NotApplicable("a trace of the call holds none of these operators")
    less = _without(whole, constants)
    return functools.partial(whole, *leaves), functools.partial(less, *leaves)


def _constants(whole: fx.GraphModule, names: Mapping[int, str], wanted: Wanted) -> dict[str, Any]:
    """Return the results of a graph's operators that are made of wanted weights only, by their nodes' names."""
    written = _written(whole.graph)
    values: dict[fx.Node, Any] = {}
    sources: dict[fx.Node, frozenset[str]] = {}
    for node in whole.graph.nodes:
        if node.op == "get_attr":
            value = operator.attrgetter(node.target)(whole)
            name = names.get(address(value), "")
            if not name and value.numel() > _MOST_UNKNOWN:
                raise NotApplicable("the call leaves torch, for numpy for example, and a trace cannot follow it")
            values[node], sources[node] = value, frozenset({name})
        elif _is_pure(node) and node not in written and values.keys() >= {*node.all_input_nodes}:
            arguments = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*arguments[0], **arguments[1])
            sources[node] = frozenset[str]().union(*(sources[operand] for operand in node.all_input_nodes))
    made = {node: value for node, value in values.items() if node.op != "get_attr" and wanted(sources[node])}
    return {node.name: value for node, value in made.items() if isinstance(value, torch.Tensor)}


def _without(whole: fx.GraphModule, constants: Mapping[str, Any]) -> fx.GraphModule:
    """Return a graph that holds some results of another one instead of computing them."""
    less = fx.GraphModule(whole, copy.deepcopy(whole.graph))
    for node in list(less.graph.nodes):
        if node.name in constants:
            less.register_buffer(f"constant_{node.name}", constants[node.name])
            with less.graph.inserting_before(node):
                node.replace_all_uses_with(less.graph.get_attr(f"constant_{node.name}"))
    less.graph.eliminate_dead_code()
    less.recompile()
    return less


def _is_pure(node: fx.Node) -> bool:
    if not node.all_input_nodes:
        return False  # a factory: what it makes is not made of weights
    random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return node.op == "call_function" and not random and not _writes(node)


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _written(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose memory operators may write into, also through views of it."""
    written: set[fx.Node] = set()
    waiting = [source for node in graph.nodes if _writes(node) for source in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node not in written:
            written.add(node)
            waiting += node.all_input_nodes if _may_be_view(node) else []
    return written


def _may_be_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(result.alias_info is not None for result in schema.returns)
