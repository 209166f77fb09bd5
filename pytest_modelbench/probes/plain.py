"""Nested numbers, texts and arrays as one file of arrays, without pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_modelbench.probes.wire import Arrays

_ARRAY = "__array__"


def to_arrays(tree: Any) -> Arrays:
    """Return a tree of mappings, lists, numbers and texts with arrays in it as arrays and one text.

    Raises:
        TypeError: something else is in it.

    >>> tree = {"n": 2, "part": [np.arange(2), "a", None]}
    >>> from_arrays(to_arrays(tree))["part"][0].tolist()
    [0, 1]
    """
    arrays: Arrays = {}

    def without(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            if node.dtype == object:
                raise TypeError("arrays of Python objects cannot go into a file")
            name = f"array{len(arrays)}"
            arrays[name] = node
            return {_ARRAY: name}
        if isinstance(node, Mapping):
            return {str(key): without(value) for key, value in node.items()}
        return [without(value) for value in node] if isinstance(node, list | tuple) else node

    text = json.dumps(without(tree))
    return {**arrays, "text": np.array(text)}


def from_arrays(arrays: Mapping[str, Any]) -> Any:
    """Return the tree that `to_arrays` packed; tuples are lists then."""

    def within(node: Any) -> Any:
        if isinstance(node, dict):
            return arrays[node[_ARRAY]] if _ARRAY in node else {key: within(value) for key, value in node.items()}
        return [within(value) for value in node] if isinstance(node, list) else node

    return within(json.loads(str(arrays["text"])))
