"""What survives attacks where a student hides its gradient: ours beside AutoAttack, and what it costs.

A small net of the digits, and six forms of it that keep its labels and hide its gradient or scale its outputs. Each
is attacked by `robust_accuracy` with and without the float net as `surrogate=`, and by AutoAttack (APGD and squares).
Where ours states doubts, the share is only an upper bound. `passes` is the processor time of ours without a surrogate
over that of one forward pass of the same samples.

Usage: python benchmarks/attacks.py [--samples 200]
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from attacked_models import MASKS, Through, digits, masked, plain

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.attacks.assault import assault
from pytest_modelbench.probes.attacks.fight import ALL
from pytest_modelbench.probes.attacks.outcome import Assault
from pytest_modelbench.probes.kinds import Taking

EPS = 0.1


def int8() -> nn.Module:
    """Return the net with its linear layer in dynamic int8."""
    quantize: Callable[..., nn.Module] = torch.ao.quantization.quantize_dynamic
    return quantize(plain(), {nn.Linear}, torch.qint8)


FORMS: dict[str, Callable[[], nn.Module]] = {
    "float": plain,
    "logits x 1000": lambda: Through(plain(), lambda net, inputs: 1000 * net(inputs)),
    **{name: functools.partial(masked, name) for name in MASKS},
    "dynamic int8": int8,
}


def ours(form: nn.Module, data: EvalData, samples: int, surrogate: nn.Module | None) -> Assault:
    """Attack a form as `robust_accuracy` does."""
    options = {"eps": str(EPS), "range": None, "samples": samples, "steps": 40, "queries": 300, "attack": None}
    taking = Taking(
        model=adapt(form, Loading(name="student")),
        data=data,
        options={**options, "surrogate": surrogate},
        budget_s=1e9,
        other=lambda role: None if surrogate is None else adapt(surrogate, Loading(name=role)),
    )
    return assault(taking, ALL)


def autoattack(form: nn.Module, ids: tuple[int, ...]) -> float | str:
    """Return the share that AutoAttack leaves, or what it raises."""
    import pyautoattack

    inputs, labels = (torch.tensor(array[1200:][list(ids)]) for array in digits())
    try:
        attack = pyautoattack.AutoAttack(
            form, attacks=["apgd-ce", "apgd-dlr", "square"], eps=EPS, seed=0, version="custom"
        )
        examples: Any = attack.run_standard_evaluation(inputs, labels)
        examples = examples[0] if isinstance(examples, tuple) else examples
        return float((form(examples).argmax(1) == labels).double().mean())
    except (RuntimeError, AssertionError) as error:
        return type(error).__name__


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    samples = parser.parse_args().samples
    warnings.simplefilter("ignore")
    print("| form | right | own gradient | robust_accuracy | with surrogate | AutoAttack | doubts | passes |")
    print("|---|---|---|---|---|---|---|---|")
    for name, make in FORMS.items():
        form = make()
        outputs = "probabilities" if name == "saturated" else None
        data = EvalData(digits()[0][1200:], digits()[1][1200:], outputs=outputs)
        subset = EvalData(digits()[0][1200 : 1200 + samples], digits()[1][1200 : 1200 + samples])
        started = time.process_time()
        alone = ours(form, data, samples, None)
        middle = time.process_time()
        collect_outputs(adapt(form, Loading(name="student")), subset)
        bare = time.process_time() - middle
        helped = ours(form, data, samples, plain())
        library = autoattack(form, alone.ids)
        shares = (alone.right, alone.surviving("fgsm", "pgd"), alone.surviving(), helped.surviving())
        listed = " | ".join(f"{100 * share.mean():.1f}%" for share in shares)
        beside = library if isinstance(library, str) else f"{100 * library:.1f}%"
        doubts = f"{len(alone.doubts)}" if alone.doubts else "none"
        print(f"| {name} | {listed} | {beside} | {doubts} | {(middle - started) / bare:.0f} |", flush=True)


if __name__ == "__main__":
    main()
