"""The process that `models.trial` starts: it loads a model and runs it once on zeros.

What that raises is of no interest, since the load that follows raises it again: only its death and its silence are.
"""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np

from pytest_modelbench.models.saved import Loading


def main(request: str) -> None:
    """Load a model as a request says, and run it on zeros; dimensions that are open are 1.

    Args:
        request: JSON of the function that loads it ("load", as "module:function"), its "path" and a `Loading`.
    """
    asked = json.loads(request)
    module, _, function = asked.pop("load").partition(":")
    path, options = asked.pop("path"), tuple(tuple(pair) for pair in asked.pop("options"))
    load = getattr(importlib.import_module(module), function)
    model = load(path, Loading(**{**asked, "alone": True, "options": options}))
    ports = model.inputs() if hasattr(model, "inputs") else ()
    feeds = {port.name: np.zeros([size or 1 for size in port.shape or ()], port.dtype or "float32") for port in ports}
    if feeds and all(port.shape is not None for port in ports):
        model(feeds)


if __name__ == "__main__":
    main(sys.argv[1])
