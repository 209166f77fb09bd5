"""What survives attacks: the closed form, an independent library, and models that hide their gradient."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from attacked_models import Through, digits, masked, plain
from torch import nn

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.grammar.radius import read_radius
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.attacks.assault import assault
from pytest_modelbench.probes.attacks.ball import ball_for
from pytest_modelbench.probes.attacks.fight import ALL, FGSM, PGD, TRANSFER, WHERE
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


def normalised(net: nn.Linear, inputs: Array, mean: Array, std: Array) -> tuple[nn.Linear, Array]:
    """Return a net that takes what is left of inputs less `mean` over `std`, and gives what it gave before."""
    other = nn.Linear(12, 5)
    with torch.no_grad():
        other.weight.copy_(net.weight * torch.from_numpy(std).float())
        other.bias.copy_(net.bias + net.weight @ torch.from_numpy(mean).float())
    return other, ((inputs - mean) / std).astype(np.float32)


@pytest.mark.parametrize("scaled", [False, True], ids=["as they are", "normalised"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", "0.02"), ("l2", "0.05")])
def test_linear_models_have_a_closed_form(norm: str, eps: str, scaled: bool) -> None:
    """A linear model loses a sample exactly if the margin is below eps times the dual norm of the weights' difference.

    That is the 1-norm for linf and the 2-norm for l2, of weights for inputs as they are before normalisation.
    """
    net, inputs, labels = linear()
    weights, scores = net.weight.detach().double().numpy(), net(torch.from_numpy(inputs)).detach().double().numpy()
    rows = np.arange(len(inputs))
    gaps = scores[rows, labels][:, None] - scores
    reach = float(eps) * np.linalg.norm(
        weights[labels][:, None] - weights[None], ord=1 if norm == "linf" else 2, axis=2
    )
    gaps[rows, labels] = np.inf
    survives = (gaps > reach).all(axis=1)
    options: dict[str, Any] = {"eps": eps, "norm": norm, "range": (0, 1), "samples": 300}
    if scaled:
        mean, std = np.linspace(0.2, 0.6, 12), np.linspace(0.1, 3.0, 12)
        net, inputs = normalised(net, inputs, mean, std)
        options |= {"mean": mean.tolist(), "std": std.tolist()}
    data = EvalData(inputs, labels, task="multiclass")
    found = attacked(net, PGD, data, **options)
    assert not found.doubts
    assert f"eps {eps} ({norm}), range 0 to 1" in found.method
    expected = np.array([survives[sample] for sample in found.ids])
    assert 0.1 < expected.mean() < 0.9
    assert np.mean(found.surviving() == expected) >= 0.99
    one = attacked(net, FGSM, data, **options).surviving()
    assert (one >= expected).all()
    nearest = np.where(gaps == gaps.min(axis=1, keepdims=True), gaps - reach, np.inf).min(axis=1) > 0
    assert np.mean(one == np.array([nearest[sample] for sample in found.ids])) >= 0.98
    guessed = attacked(lambda batch: net(torch.from_numpy(batch)).detach().numpy(), ALL, data, **options).surviving()
    assert (guessed >= expected).all()
    assert guessed.mean() <= expected.mean() + 0.1


def test_squares_and_noise_stay_in_l2_and_columns_that_never_vary_stay_still() -> None:
    """Every move of a ball ends in it, also where a column's radius is 0, and what is further out is refused."""
    rng = np.random.default_rng(0)
    inputs = np.hstack([rng.uniform(0.1, 0.9, (50, 6)), np.full((50, 1), 0.5)]).astype(np.float32)
    for ball in (
        ball_for(inputs, read_radius("0.5 sd"), None, "l2"),
        ball_for(inputs, read_radius("0.3"), (0, 1), "l2"),
        ball_for(inputs, read_radius("0.5 sd"), (0, 1), "linf"),
    ):
        moves = [ball.random(inputs, rng), ball.stepped(inputs, inputs, rng.normal(size=inputs.shape), 1.0)]
        moves += [
            ball.project(inputs, rng.normal(size=inputs.shape) * 9),
            ball.stepped(inputs, inputs, np.zeros(inputs.shape), 1),
        ]
        for moved in moves:
            assert ball.holds(inputs, moved).all()
            assert ((moved >= ball.low) & (moved <= ball.high)).all()
        assert np.array_equal(moves[3], inputs)
        further = inputs + 1.01 * (moves[1] - inputs) if not np.isfinite(ball.high) else inputs + 1
        assert not ball.holds(inputs, further).any()
        assert not ball.holds(inputs, np.full_like(inputs, np.nan)).any()
    still = ball_for(inputs, read_radius("0.5 sd"), None, "l2").random(inputs, rng)
    assert np.array_equal(still[:, 6], inputs[:, 6])


def test_two_measurements_share_what_they_have_in_common() -> None:
    """The checks and the attacks of `pgd_accuracy` are not run again for `robust_accuracy`, and change nothing."""
    shelf: dict[Any, Any] = {}
    runs: list[str] = []

    def shared(name: tuple[Any, ...], options: tuple[str, ...], measure: Any) -> Any:
        if (name, options) not in shelf:
            runs.append(name[0])
            shelf[name, options] = measure()
        return shelf[name, options]

    taking = Taking(
        model=adapt(plain(), Loading(name="student")),
        data=EvalData(digits()[0][1200:], digits()[1][1200:]),
        options={**OPTIONS, "samples": 110, "steps": 5},
    )
    alone = assault(taking, ALL)
    first = assault(replace(taking, shared=shared), PGD)
    second = assault(replace(taking, shared=shared), ALL)
    assert runs == ["doubts", "doubts", "pgd", "pgd", "fgsm", "fgsm"]
    assert [key for key in shelf if key[0][0] == "doubts"] == [
        (("doubts",), (*WHERE, "surrogate")),
        (("doubts", "by steps"), (*WHERE, "steps")),
    ]
    assert np.array_equal(first.lost["pgd"], second.lost["pgd"])
    assert all(np.array_equal(alone.lost[name], second.lost[name]) for name in alone.lost)


def test_shares_are_of_all_samples() -> None:
    """A sample that is wrong before the attack counts as one that does not survive, and is in no pair."""
    net, inputs, labels = linear()
    mixed = np.where(np.arange(300) % 5 == 0, (labels + 1) % 5, labels)
    found = attacked(net, PGD, EvalData(inputs, mixed, task="multiclass"), eps="0.02", range=(0, 1), samples=300)
    assert len(found.ids) == len(found.surviving()) == 300
    assert found.right.mean() == 0.8
    assert not (found.surviving() & ~found.right).any()
    assert all(found.right[pair.row] for pair in found.pairs)


def test_pairs_show_what_an_attack_did() -> None:
    """The first lost samples, each once and right before, with an input in the ball that has another label."""
    found = attacked(plain(), ALL, steps=5, samples=100)
    assert len(found.pairs) == 8
    assert [pair.row for pair in found.pairs] == np.flatnonzero(found.right & ~found.surviving())[:8].tolist()
    for pair in found.pairs:
        sample, label = digits()[0][1200:][found.ids[pair.row]], digits()[1][1200:][found.ids[pair.row]]
        assert np.array_equal(pair.clean, sample)
        assert pair.before == label != pair.after
        assert np.abs(pair.adversarial - sample).max() <= 0.1001
        assert int(plain()(torch.from_numpy(pair.adversarial[None])).argmax()) == pair.after


def by_autoattack(inputs: torch.Tensor, labels: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    """Return what AutoAttack's two forms of APGD leave."""
    pyautoattack = pytest.importorskip("pyautoattack")
    library = pyautoattack.AutoAttack(
        plain(), norm={"linf": "Linf", "l2": "L2"}[norm], attacks=["apgd-ce", "apgd-dlr"], eps=eps, seed=0,
        version="custom",
    )  # fmt: skip
    examples = library.run_standard_evaluation(inputs, labels)
    moved: torch.Tensor = examples[0] if isinstance(examples, tuple) else examples
    return moved


def by_foolbox(inputs: torch.Tensor, labels: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    """Return what foolbox's PGD leaves with the step that fits 40 steps."""
    foolbox = pytest.importorskip("foolbox")
    attack = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm](rel_stepsize=2.5 / 40, steps=40)
    _, moved, _ = attack(foolbox.PyTorchModel(plain(), bounds=(0, 1)), inputs, labels, epsilons=eps)
    clipped: torch.Tensor = moved
    return clipped


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("library", [by_autoattack, by_foolbox])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.5)])
def test_independent_libraries_break_as_many(norm: str, eps: float, library: Any) -> None:
    """AutoAttack leaves as many of a sound model as ours, but for 2 points; foolbox's PGD alone leaves no fewer."""
    found = attacked(plain(), steps=40, norm=norm, eps=str(eps), samples=200 if norm == "linf" else 100)
    assert not found.doubts
    inputs = torch.tensor(digits()[0][1200:][list(found.ids)])
    labels = torch.tensor(digits()[1][1200:][list(found.ids)])
    theirs = float((plain()(library(inputs, labels, norm, eps)).argmax(1) == labels).double().mean())
    ours = float(found.surviving().mean())
    assert 0.2 < ours < 0.8
    assert ours <= theirs + 0.02
    assert library is by_foolbox or abs(ours - theirs) <= 0.02


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
    assert "300 queries, batch size 256, seed 0; each example is asked for once more" in alone.method
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


def test_transfer_from_a_teacher_without_a_gradient_is_a_bound() -> None:
    """An attack that could not move anything proves nothing; the teacher's checks are kept apart from the student's."""
    names: list[tuple[object, ...]] = []

    def shared(name: tuple[object, ...], options: tuple[str, ...], measure: Any) -> Any:
        del options
        names.append(name)
        return measure()

    taking = Taking(
        model=adapt(plain(), Loading(name="student")),
        data=EvalData(digits()[0][1200:], digits()[1][1200:]),
        options={**OPTIONS, "samples": 50},
        other=lambda role: adapt(
            lambda batch: plain()(torch.from_numpy(batch)).numpy(force=True), Loading(name=role)
        ),
        shared=shared,
    )
    found = assault(taking, TRANSFER)
    assert found.doubts == ("no gradient comes back from teacher",)
    assert np.array_equal(found.surviving(), found.right)
    assert names == [("doubts about the parent",)]
    assert attacked(plain(), TRANSFER, other=masked("rounded"), samples=50).doubts


@pytest.mark.parametrize("attack", ["transfer", "surrogate"])
def test_a_student_of_labels_and_its_parent_count_classes_each_in_its_own_order(attack: str) -> None:
    """Where no attacked sample has the class 0, the labels that a student returns begin with 1, and logits with 0."""
    chosen = digits()[1] != 0
    data = EvalData(digits()[0][chosen][1000:], digits()[1][chosen][1000:], task="multiclass")
    options: dict[str, Any] = {"samples": 100, "steps": 20, "surrogate": "given"}
    labels = attacked(
        lambda batch: plain()(torch.from_numpy(batch)).argmax(1).numpy(), (attack,), data, other=plain(), **options
    )
    own = attacked(plain(), PGD, data, **options)
    assert not (labels.surviving() & ~own.surviving()).any()
    assert own.surviving().mean() < own.right.mean() - 0.2


def test_too_few_steps_are_an_upper_bound() -> None:
    """A single step that is called PGD leaves what more steps lose; the one step of FGSM is what it promises."""
    few = attacked(plain(), PGD, steps=1)
    assert few.doubts[0].startswith("steps=1 is too few: 20 steps lose ")
    assert few.surviving().mean() > attacked(plain(), PGD, steps=20).surviving().mean()
    assert not attacked(plain(), FGSM, steps=1).doubts
    assert attacked(plain(), TRANSFER, other=plain(16), steps=1).doubts[0].startswith("steps=1 is too few")


def test_a_contract_is_no_teacher_to_attack() -> None:
    """Examples that deceive the teacher need its gradient."""
    with pytest.raises(DoesNotFit, match="only the teacher's contract is there. Define teacher_model"):
        attacked(plain(), TRANSFER)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rounded_normalisation_is_no_fault_of_an_attack(dtype: Any) -> None:
    """Values that rounding put outside of the range stay inside of the ball, also where they are not moved."""
    inputs, mean, std = digits()[0][1200:], 0.4849999, 0.2290001
    data = EvalData(((inputs - mean) / std).astype(dtype), digits()[1][1200:])

    def before(net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = net((batch.float() * std + mean).clamp(0, 1))
        return scores

    lost = attacked(Through(plain(), before), FGSM, data, range=(0, 1), mean=0.485, std=0.229)
    assert 0 < lost.surviving().mean() < 1


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
        (
            digits()[0] * 4 - 1,
            {},
            DataError,
            "write mean= and std= too, eps= and range= are then of the values before",
        ),
        (
            digits()[0] * 4 - 1,
            {"mean": 0.0, "std": 1.0, "range": (0, 1)},
            DataError,
            "Is this how they were normalised",
        ),
        (digits()[0], {"mean": [0.1, 0.2, 0.3], "std": 1.0}, DataError, "for 3 channels, and the inputs have 1"),
        (digits()[0], {"norm": "l2", "eps": "8"}, DataError, "further than any two inputs of 64 values"),
        (digits()[0], {"eps": None}, DoesNotFit, "eps= is not stated"),
        (digits()[0], {"eps": "0.1 sd"}, DoesNotFit, "columns of a table"),
        (digits()[0].reshape(-1, 64) * 6 - 3, {"eps": "0.1 sd", "range": (0, 1)}, DataError, "State the range"),
        (
            digits()[0].reshape(-1, 64) * 6 - 3,
            {"eps": "0.1 sd", "range": (0, 0.9), "mean": 0.5, "std": 1 / 6},
            DataError,
            "run from 0 to 1, and range",
        ),
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
        (lambda model, inputs, *_: inputs + 0.2, "left the linf ball"),
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
