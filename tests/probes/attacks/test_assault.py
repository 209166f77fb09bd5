"""What survives attacks: the closed form, an independent library, and models that hide their gradient."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from attacked_models import Through, digits, masked, plain
from torch import nn

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.attacks.assault import assault
from pytest_modelbench.probes.attacks.fight import ALL, FGSM, PGD, TRANSFER
from pytest_modelbench.probes.attacks.outcome import Assault
from pytest_modelbench.probes.kinds import Taking

Array = npt.NDArray[Any]
OPTIONS = {
    "eps": "0.1",
    "range": None,
    "samples": 200,
    "steps": 40,
    "queries": 300,
    "surrogate": None,
    "attack": None,
}


def attacked(
    module: Any, attacks: tuple[str, ...] = ALL, data: EvalData | None = None, other: Any = None, **options: Any
) -> Assault:
    """Attack a model on the digits that it was not trained on."""
    taking = Taking(
        model=adapt(module, Loading(name="student")),
        data=EvalData(digits()[0][1200:], digits()[1][1200:]) if data is None else data,
        options={**OPTIONS, **options},
        other=lambda role: None if other is None else adapt(other, Loading(name=role)),
    )
    return assault(taking, attacks)


def linear(seed: int = 0) -> tuple[nn.Linear, Array, Array]:
    """Return a random linear classifier of five classes with inputs that it gets right, well inside of 0 to 1."""
    torch.manual_seed(seed)
    net, rng = nn.Linear(12, 5), np.random.default_rng(seed)
    inputs = rng.uniform(0.3, 0.7, (300, 12)).astype(np.float32)
    return net, inputs, net(torch.from_numpy(inputs)).argmax(1).numpy()


def test_linear_models_have_a_closed_form() -> None:
    """A linear model loses a sample exactly if the margin is below eps times the 1-norm of the weights' difference."""
    net, inputs, labels = linear()
    weights, scores = net.weight.detach().double().numpy(), net(torch.from_numpy(inputs)).detach().double().numpy()
    rows = np.arange(len(inputs))
    gaps = scores[rows, labels][:, None] - scores
    reach = 0.02 * np.abs(weights[labels][:, None] - weights[None]).sum(axis=2)
    gaps[rows, labels] = np.inf
    survives = (gaps > reach).all(axis=1)
    data = EvalData(inputs, labels, task="multiclass")
    found = attacked(net, PGD, data, eps="0.02", range=(0, 1), samples=300)
    assert not found.doubts
    expected = np.array([survives[sample] for sample in found.ids])
    assert 0.1 < expected.mean() < 0.9
    assert np.mean(found.surviving() == expected) >= 0.99
    one = attacked(net, FGSM, data, eps="0.02", range=(0, 1), samples=300).surviving()
    assert (one >= expected).all()
    nearest = np.where(gaps == gaps.min(axis=1, keepdims=True), gaps - reach, np.inf).min(axis=1) > 0
    assert np.mean(one == np.array([nearest[sample] for sample in found.ids])) >= 0.98


@pytest.mark.slow
def test_an_independent_library_breaks_as_many() -> None:
    """AutoAttack's APGD and square attack leave no more than 2 points less of a sound model."""
    pyautoattack = pytest.importorskip("pyautoattack")
    found = attacked(plain(), steps=40)
    assert not found.doubts
    inputs = torch.tensor(digits()[0][1200:][list(found.ids)])
    labels = torch.tensor(digits()[1][1200:][list(found.ids)])
    library = pyautoattack.AutoAttack(
        plain(), attacks=["apgd-ce", "apgd-dlr", "square"], eps=0.1, seed=0, version="custom"
    )
    examples = library.run_standard_evaluation(inputs, labels)
    examples = examples[0] if isinstance(examples, tuple) else examples
    theirs = float((plain()(examples).argmax(1) == labels).double().mean())
    assert abs(found.surviving().mean() - theirs) <= 0.02, (found.surviving().mean(), theirs)


@pytest.mark.parametrize("mask", ["rounded", "saturated", "one_hot", "session"])
def test_a_hidden_gradient_is_told(mask: str) -> None:
    """Attacks along the model's own gradient leave far too much; the float parent's gradient shows what is true."""
    data = EvalData(digits()[0][1200:], digits()[1][1200:], outputs="probabilities" if mask == "saturated" else None)
    truth = attacked(plain()).surviving().mean()
    alone = attacked(masked(mask), PGD, data)
    assert alone.doubts
    assert alone.surviving().mean() > truth + 0.1
    helped = attacked(masked(mask), ALL, data, other=plain(), surrogate="given")
    assert helped.doubts
    assert helped.surviving().mean() <= truth + 0.03


def test_quantised_models_have_no_gradient() -> None:
    """A dynamic int8 model is attacked by squares alone, and by its float parent's gradient where that is named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of an old interface that is still deployed
        quantize = torch.ao.quantization.quantize_dynamic
        int8 = quantize(plain(), {nn.Linear}, torch.qint8)  # type: ignore[no-untyped-call]
    alone = attacked(int8, ALL)
    assert alone.doubts == ("no gradient comes back from student",)
    assert set(alone.lost) == {"fgsm", "pgd", "targeted", "noise", "square"}
    helped = attacked(int8, ALL, other=plain(), surrogate="given")
    assert helped.surviving().mean() < alone.surviving("fgsm", "pgd").mean() - 0.3


def test_scaled_logits_are_attacked_as_before() -> None:
    """Logits times 1,000 saturate cross entropy; the margin knows no scale."""
    scaled = attacked(Through(plain(), lambda net, inputs: 1000 * net(inputs)), PGD)
    assert not scaled.doubts
    assert abs(scaled.surviving().mean() - attacked(plain(), PGD).surviving().mean()) <= 0.05


def test_training_mode_changes_nothing() -> None:
    """Dropout of a module in training mode is off during attacks, and the mode comes back."""
    net = nn.Sequential(nn.Dropout(0.5), plain())
    net.train()
    assert np.array_equal(attacked(net, PGD).surviving(), attacked(plain(), PGD).surviving())
    assert net.training


def test_a_model_that_answers_by_chance_is_refused() -> None:
    """Dropout that is never switched off."""
    noisy = Through(plain(), lambda net, inputs: net(nn.functional.dropout(inputs, 0.3, training=True)))
    with pytest.raises(MeasurementError, match="does not answer twice alike"):
        attacked(noisy)


def test_models_without_torch_are_attacked_by_the_teachers_gradient() -> None:
    """A function of arrays has no gradient."""
    net, inputs, labels = linear()
    weights, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    found = attacked(
        lambda batch: batch @ weights.T + bias, ALL, EvalData(inputs, labels), other=net, eps="0.02", range=(0, 1)
    )
    assert found.doubts
    assert set(found.lost) == {"fgsm", "pgd", "targeted", "surrogate", "noise", "square"}
    sound = attacked(net, ALL, EvalData(inputs, labels), eps="0.02", range=(0, 1))
    assert found.surviving().mean() <= sound.surviving().mean() + 0.02


def test_binary_models_of_one_logit() -> None:
    """One number for two classes: above 0 is the second."""
    net, rng = nn.Linear(6, 1, bias=False), np.random.default_rng(0)
    inputs = rng.normal(size=(200, 6)).astype(np.float32)
    scores = net(torch.from_numpy(inputs)).detach().double().numpy()[:, 0]
    reach = 0.1 * float((np.abs(net.weight.detach().double().numpy()[0]) * inputs.std(axis=0)).sum())
    data = EvalData(inputs, (scores > 0).astype(int), task="binary", outputs="logits")
    found = attacked(net, PGD, data, eps="0.1 sd")
    assert not found.doubts
    assert np.array_equal(found.surviving(), np.array([abs(scores[row]) > reach for row in found.ids]))


def test_transfer_is_the_teachers_attack() -> None:
    """The student is asked for what the attack on the teacher left."""
    found = attacked(plain(), TRANSFER, other=plain(16))
    assert list(found.lost) == ["transfer"]
    assert attacked(plain(), PGD).surviving().mean() < found.surviving().mean() < found.right.mean()


def test_results_depend_on_the_seed_alone() -> None:
    """The subset, its order and all random numbers are those of the seed, under any batch size."""
    first, second = (
        attacked(plain(), ALL, EvalData(digits()[0][1200:], digits()[1][1200:], batch_size=size), samples=150)
        for size in (32, 256)
    )
    assert first.ids == second.ids
    assert all(np.array_equal(first.lost[name], second.lost[name]) for name in first.lost)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "words"),
    [
        (digits()[0] * 255, {}, DataError, "no attack|moves a value"),
        (digits()[0] * 4 - 1, {}, DataError, "State their range"),
        (digits()[0] * 4 - 1, {"range": (0, 1)}, DataError, "Are they normalised"),
        ((digits()[0] * 255).astype(np.int64), {}, DoesNotFit, "dtype='float32'"),
        (digits()[0], {"eps": "0.1 sd"}, DoesNotFit, "columns of a table"),
        (np.where(digits()[0] == 1, np.nan, digits()[0]), {}, DataError, "finite"),
    ],
)
def test_inputs_that_eps_does_not_fit(inputs: Array, options: Any, error: type[Exception], words: str) -> None:
    """A radius that means nothing for the inputs is told before anything is attacked."""
    options = {"range": (0, 1000), "eps": "0.00001"} if words.startswith("no attack") else options
    with pytest.raises(error, match=words):
        attacked(
            Through(plain(), lambda net, batch: net(batch.float())), PGD, EvalData(inputs, digits()[1]), **options
        )


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (lambda model, inputs, *_: inputs + 0.2, "left the ball"),
        (lambda model, inputs, *_: np.full_like(inputs, np.nan), "gave NaN"),
        (lambda model, inputs, *_: inputs[:1], "returned shape"),
        (lambda model, inputs, *_: 1 / 0, "attack= raised ZeroDivisionError"),
    ],
)
def test_an_attack_that_is_wrong_is_blamed(attack: Any, words: str) -> None:
    """An attack of the user's own is checked like ours."""
    with pytest.raises(MeasurementError, match=words):
        attacked(plain(), ALL, attack=attack)


def test_an_own_attack_counts() -> None:
    """What an attack of the user's finds is asked for once more, and lost."""
    seen: list[Any] = []

    def attack(model: Any, inputs: Array, targets: Array, eps: Array, bounds: Any, seed: int) -> Array:
        seen.append((model.name, targets.shape, float(eps), bounds, seed))
        moved: Array = np.clip(inputs + eps, *bounds)
        return moved

    found = attacked(plain(), ALL, attack=attack)
    assert seen[0] == ("student", (100,), 0.1, (0.0, 1.0), 0)
    assert "attack" in found.lost
    assert not (found.surviving() & found.lost["attack"]).any()


def test_time_ends_it_between_blocks() -> None:
    """Where the budget is over, fewer samples are attacked, and n says so."""
    taking = Taking(
        model=adapt(plain(), Loading(name="student")),
        data=EvalData(digits()[0][1200:], digits()[1][1200:]),
        options=OPTIONS,
        budget_s=0.0,
    )
    assert len(assault(taking, PGD).ids) == 100
