"""Functions of JAX: compiled ones, with and without bound parameters, and plain ones that return its arrays."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pytest_modelbench.data.arrays import output_array
from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

INPUTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
PARAMS: dict[str, Any] = {
    "kernel": np.arange(24, dtype=np.float32).reshape(8, 3) / 24,
    "bias": np.zeros(3, np.float32),
}


def apply(params: Any, batch: Any) -> Any:
    """Return three logits."""
    return batch @ params["kernel"] + params["bias"]


def bound(scale: float = 1.0) -> Any:
    """Return a compiled function with parameters on JAX's device."""
    return functools.partial(jax.jit(apply), {name: jnp.asarray(scale * value) for name, value in PARAMS.items()})


def closed(scale: float = 1.0) -> Any:
    """Return a compiled function that closes over its parameters."""
    kernel = jnp.asarray(scale * PARAMS["kernel"])
    return jax.jit(lambda batch: jax.nn.relu(batch @ kernel))


def wrapped(function: Any, **loading: Any) -> Model:
    return adapt(function, Loading(name="student", **loading))


def test_outputs_are_computed_when_a_call_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX returns arrays before their numbers; also a plain function is waited for."""
    waited = []
    original = jax.block_until_ready

    def wait(outputs: Any) -> Any:
        waited.append(outputs)
        return original(outputs)

    monkeypatch.setattr(jax, "block_until_ready", wait)
    for function in (bound(), closed(), lambda batch: {"logits": apply(PARAMS, jnp.asarray(batch))}):
        outputs = wrapped(function)(INPUTS)
        assert waited.pop() is outputs
    assert isinstance(outputs["logits"], jax.Array)


def test_a_batch_is_moved_before_the_call() -> None:
    """Arrays of numpy become JAX's outside of the timed path; numpy reads outputs where they are."""
    given = []
    student = wrapped(jax.jit(lambda batch: batch * 2))
    compiled = student.function  # type: ignore[attr-defined]

    def seen(batch: Any) -> Any:
        given.append(batch)
        return compiled(batch)

    student.function = seen  # type: ignore[attr-defined]
    output = output_array(student(INPUTS.astype(np.float64)))
    assert np.allclose(output, INPUTS * 2)
    assert output.dtype == np.float32
    assert isinstance(given[0], jax.Array)
    student.function = compiled  # type: ignore[attr-defined]
    described = student.describe()
    assert (described["kind"], described["inputs"]) == ("jax", "float64 -> float32")
    bare = wrapped(bound())(INPUTS)
    assert np.shares_memory(np.asarray(bare), np.asarray(bare))


def test_the_fingerprint_is_one_of_content_in_every_process() -> None:
    """Code, bound parameters and what is closed over count; an equal function is the same model."""
    student = wrapped(bound())
    assert student.fingerprint() == wrapped(bound()).fingerprint() != wrapped(bound(2.0)).fingerprint()
    assert wrapped(closed()).fingerprint() == wrapped(closed()).fingerprint() != wrapped(closed(2.0)).fingerprint()
    assert "object" not in student.fingerprint() + wrapped(closed()).fingerprint()
    code = textwrap.dedent(
        """
        import jax, jax.numpy as jnp
        from pytest_modelbench.models.registry import adapt
        from pytest_modelbench.models.saved import Loading
        kernel = jnp.ones((8, 3))
        def load():
            return jax.jit(lambda batch: batch @ kernel)
        print(adapt(load(), Loading(name="student")).fingerprint())
        """
    )
    prints = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout for _ in "ab"
    }
    assert len(prints) == 1
    assert "object" not in prints.pop()


def test_a_list_that_may_change_counts_by_identity() -> None:
    """Then nothing else is the same model."""
    student, other = (wrapped(jax.jit(lambda batch: batch * len(SEEN))) for _ in "ab")
    assert "object" in student.fingerprint() != other.fingerprint()


SEEN: list[int] = [1, 2]


def test_bound_parameters_are_counted() -> None:
    """Those of a closure are not known to be parameters."""
    counted = wrapped(bound()).count_parameters()
    assert (counted.total, counted.nonzero) == (27, 23)
    with pytest.raises(NotApplicable, match=r"without bound parameters. Bind them: functools.partial\(jax.jit"):
        wrapped(closed()).count_parameters()


def test_a_replica_has_parameters_of_its_own() -> None:
    """What binds none cannot be copied."""
    student = wrapped(bound())
    copied = student.replicate()
    assert copied is not None
    assert copied.fingerprint() == student.fingerprint()
    addresses = [one.function.args[0]["kernel"].unsafe_buffer_pointer() for one in (student, copied)]  # type: ignore[attr-defined]
    assert addresses[0] != addresses[1]
    assert wrapped(closed()).replicate() is None


def test_gradients_by_the_inputs() -> None:
    """Of a linear function they are its kernel."""
    gradient = wrapped(bound()).pull_back(INPUTS, None, lambda outputs: np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    assert gradient is not None
    assert np.allclose(gradient, PARAMS["kernel"].T[[0, 1, 2, 0]])


def test_what_does_not_apply_says_why() -> None:
    """A function of JAX has no file, and XLA compiled it."""
    student = wrapped(bound())
    with pytest.raises(NotApplicable, match="student is a function of jax.jit, which XLA compiled already"):
        student.compiled()
    with pytest.raises(NotApplicable, match="no artefact"):
        student.artefact()


def test_an_unknown_device_is_named() -> None:
    """The message says what there is."""
    with pytest.raises(ModelError, match="student cannot run on device 'cuda': JAX finds"):
        wrapped(bound(), device="cuda")
