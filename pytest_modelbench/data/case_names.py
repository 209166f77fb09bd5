"""Edge cases by name: what each feeds a model, which inputs it makes sense for, and how users add their own.

Standard library only: the names are the items' ids, so they are known before any data is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from pytest_modelbench.errors import UsageMistake

Function = TypeVar("Function", bound=Callable[[Any], Any])
_TAG = "_modelbench_edge_case"


@dataclass(frozen=True)
class CaseInfo:
    """What a case feeds, and for which inputs: `any`, `numbers`, `floats` or `tokens` (integer sequences)."""

    what: str
    inputs: str


BUILT_IN: Mapping[str, CaseInfo] = {
    "zeros": CaseInfo("every value 0", "numbers"),
    "ones": CaseInfo("every value 1", "numbers"),
    "constant": CaseInfo("every value the mean of the data", "numbers"),
    "huge": CaseInfo("every value 1,000 times the largest magnitude in the data", "numbers"),
    "tiny": CaseInfo("every value a millionth of the largest magnitude in the data", "floats"),
    "denormal": CaseInfo("every value too small for full precision", "floats"),
    "negative": CaseInfo("real samples with every sign turned negative", "numbers"),
    "nan": CaseInfo("real samples, every other row NaN", "floats"),
    "inf": CaseInfo("real samples, every other row infinite", "floats"),
    "empty-batch": CaseInfo("a batch without rows", "any"),
    "batch-1": CaseInfo("a batch of one real sample", "any"),
    "odd-batch": CaseInfo("a batch of seven real samples", "any"),
    "non-contiguous": CaseInfo("real samples, strided in memory", "any"),
    "permuted": CaseInfo("real samples in reverse order", "any"),
    "repeated": CaseInfo("one real sample in every row", "any"),
    "no-tokens": CaseInfo("sequences of length 0", "tokens"),
    "one-token": CaseInfo("sequences of length 1", "tokens"),
    "longest": CaseInfo("sequences as long as the data's longest, without padding", "tokens"),
    "padding-only": CaseInfo("sequences of padding", "tokens"),
    "lowest-id": CaseInfo("every token the lowest id in the data", "tokens"),
    "highest-id": CaseInfo("every token the highest id in the data", "tokens"),
    "unseen-id": CaseInfo("every token one past the highest id in the data", "tokens"),
}

GROUPS: Mapping[str, tuple[str, ...]] = {
    "numbers": tuple(name for name, case in BUILT_IN.items() if case.inputs != "tokens"),
    "tokens": tuple(name for name, case in BUILT_IN.items() if case.inputs in {"tokens", "any"}),
}
"""What a marker may say for all cases that fit such inputs."""


EXTENSIONS: dict[str, Callable[[Any], Any]] = {}
"""Edge cases that others bring to a session, for all its tests."""


def register_edge_case(name: object) -> Callable[[Function], Function]:
    """Add a custom edge case, in a conftest.py or a test module, for the tests below it.

    The function gets a batch of real inputs and returns the batch to feed instead:

        @register_edge_case("night")
        def night(images):
            return images * 0.05

    Raises:
        UsageMistake: the name is taken by a built-in case, or is not a string.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageMistake(f"register_edge_case({name!r}): expected a name. Write @register_edge_case('night')")
    if name in BUILT_IN or name in GROUPS:
        raise UsageMistake(f"register_edge_case({name!r}): there is a built-in edge case of this name")

    named = str(name)

    def tag(function: Function) -> Function:
        setattr(function, _TAG, named)
        return function

    return tag


def registered_in(module: ModuleType) -> dict[str, Callable[[Any], Any]]:
    """Return the edge cases that a module's functions were registered as, in their order.

    Raises:
        UsageMistake: two functions have one name.
    """
    cases: dict[str, Callable[[Any], Any]] = {}
    for value in list(vars(module).values()):
        if type(value).__name__ != "function" or not hasattr(value, _TAG):
            continue
        name = getattr(value, _TAG)
        if cases.setdefault(name, value) is not value:
            raise UsageMistake(f"two functions of {module.__name__} are registered as edge case {name!r}")
    return cases
