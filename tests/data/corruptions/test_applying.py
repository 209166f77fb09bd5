"""Corrupted data: the same for every reader, in range and type, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pytest_modelbench.data.corruptions.applying import corrupted
from pytest_modelbench.data.corruptions.fitting import Fit, fit
from pytest_modelbench.data.corruptions.names import BUILT_IN, Cell, Corruption, find
from pytest_modelbench.data.corruptions.streams import stream
from pytest_modelbench.data.corruptions.subset import subset
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit, NotApplicable

RNG = np.random.default_rng(5)
IMAGES = RNG.random((30, 1, 8, 8)).astype(np.float32)
IMAGES[0, 0, 0, :2] = 0, 1
NAMES = [name for name, info in BUILT_IN.items() if info.family == "images" and name != "saturate"]


def cell(name: str | Callable[..., Any], severity: int = 5, seed: int = 0) -> Cell:
    if isinstance(name, str):
        return Cell(corruption=Corruption(name=name), severity=severity, seed=seed)
    return Cell(corruption=Corruption(name=name.__name__, function=name), severity=severity, seed=seed)


def read(inputs: Any, what: Cell, batch_size: int = 30, chosen: Any = None, limits: Any = None, **more: Any) -> Any:
    data = EvalData(inputs, **more)
    found = fit(data, (what.corruption,), chosen, limits)
    return [batch.inputs for batch in corrupted(data, what, found, chosen).batches(batch_size)]


@pytest.mark.parametrize("name", NAMES)
def test_batch_size_and_subset_change_nothing(name: str) -> None:
    """Each sample's corrupted form depends on its id alone: batches of 7, and a part of the samples (trap 16)."""
    whole = read(IMAGES, cell(name))[0]
    assert np.array_equal(np.concatenate(read(IMAGES, cell(name), 7)), whole)
    chosen = np.array([3, 11, 12, 29])
    assert np.array_equal(np.concatenate(read(IMAGES, cell(name), 5, chosen)), whole[chosen])


def test_order_changes_nothing() -> None:
    """Samples that have ids keep their noise in another order."""
    ids = [f"image {i}" for i in range(30)]
    order = RNG.permutation(30)
    whole = read(IMAGES, cell("gaussian_noise"), ids=ids)[0]
    other = read(IMAGES[order], cell("gaussian_noise"), ids=[ids[i] for i in order])[0]
    assert np.array_equal(other, whole[order])


def test_every_reading_is_the_same() -> None:
    """The data that two models read hold the same inputs, batch by batch (trap 17)."""
    data, what = EvalData(IMAGES), cell("shot_noise")
    harder = corrupted(data, what, fit(data, (what.corruption,)))
    first, second = ([batch.checksum for batch in harder.batches(8)] for _ in range(2))
    assert first == second


def test_streams_differ_by_all_that_they_depend_on() -> None:
    """Corruption, severity, seed and sample; and numbers are those of Philox with the key of the documented hash."""
    base = stream(cell("gaussian_noise", 1), 0).random()
    others = [
        stream(cell("shot_noise", 1), 0), stream(cell("gaussian_noise", 2), 0),
        stream(cell("gaussian_noise", 1, seed=1), 0), stream(cell("gaussian_noise", 1), 1),
    ]  # fmt: skip
    assert len({base, *(other.random() for other in others)}) == 5
    assert stream(cell("gaussian_noise", 1), np.int64(0)).random() == base
    assert base == pytest.approx(0.1201233, abs=1e-6)  # pinned: another value is another data set


@pytest.mark.parametrize("name", NAMES)
def test_bytes_stay_bytes(name: str) -> None:
    """uint8 stays uint8, rounded, from 0 to 255; the data are not written into (trap 23)."""
    images = (IMAGES * 255).round().astype(np.uint8)
    before = images.copy()
    after = read(images, cell(name))[0]
    assert after.dtype == np.uint8
    assert np.array_equal(images, before)
    as_floats = read(images.astype(np.float64) / 255, cell(name))[0] * 255
    assert np.abs(after - as_floats).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_the_range(name: str) -> None:
    """Inferred for floats from 0 to 1, stated for others; clipped at both ends (trap 23)."""
    assert 0 <= read(IMAGES, cell(name))[0].min() <= read(IMAGES, cell(name))[0].max() <= 1
    normalised = (IMAGES - 0.3) / 0.35
    low, high = -0.3 / 0.35, 0.7 / 0.35
    after = read(normalised, cell(name), limits=(low, high))[0]
    assert after.dtype == np.float32
    assert after == pytest.approx((read(IMAGES, cell(name))[0] - 0.3) / 0.35, abs=1e-5)


def test_clipping_matters() -> None:
    """Without it, noise of severity 5 leaves 0..1."""
    noisy = read(IMAGES, cell("gaussian_noise"), limits=(-9, 9))[0]
    assert noisy.min() < 0
    assert noisy.max() > 1


def test_channels_first_and_last() -> None:
    """An array's or a tensor's channels are found by their number; the other layout is the same image."""
    first = RNG.random((6, 3, 10, 12))
    first[0, 0, 0, :2] = 0, 1
    last = np.moveaxis(first, 1, -1)
    for name in ("contrast", "brightness", "gaussian_noise", "pixelate", "saturate"):
        assert read(first, cell(name))[0] == pytest.approx(np.moveaxis(read(last, cell(name))[0], -1, 1)), name
    tensor = read(torch.as_tensor(first, dtype=torch.bfloat16), cell("contrast"))[0]
    assert tensor.dtype == torch.bfloat16
    assert tensor.shape == first.shape


def test_named_inputs_change_where_they_fit() -> None:
    """Of a mapping the images change, a table's numbers stay."""
    both = {"image": IMAGES, "age": np.arange(30.0)}
    after = read(both, cell("contrast"))[0]
    assert np.array_equal(after["age"], both["age"])
    assert not np.array_equal(after["image"], IMAGES)


@pytest.mark.parametrize(
    ("inputs", "limits", "told"),
    [
        ((IMAGES - 0.3) / 0.35, None, "the inputs run from -0.85.* Are they normalised\\? Write range=\\(lo, hi\\)"),
        (IMAGES * 0.8, None, "Write range=\\(lo, hi\\)"),
        (IMAGES * 255, (0, 1), "range=\\(0, 1\\), and the inputs run from 0 to 255\\."),
        (IMAGES, (0, 255), "range=\\(0, 255\\), and the inputs run from 0 to 1: less than 2% of it\\."),
        ((IMAGES * 255).astype(np.int32), None, "Write range=\\(lo, hi\\)"),
    ],
)
def test_a_range_that_is_not_safe_is_asked_for(inputs: Any, limits: Any, told: str) -> None:
    """Normalised images, images that touch only one end, and a stated range that is not that of the data."""
    with pytest.raises((DataError, DoesNotFit), match=told):
        read(inputs, cell("contrast"), limits=limits)


def test_a_value_out_of_range_in_a_later_batch_is_told() -> None:
    """The range was inferred from the first samples; a clipped input would be another one."""
    images = np.tile(IMAGES, (200, 1, 1, 1))
    images[-1, 0, 0, 0] = 3
    with pytest.raises(DataError, match="run from .* to 3 here, outside of the range from 0 to 1"):
        read(images, cell("contrast"), 1000)


def auto(inputs: Any, named: str = "auto", **more: Any) -> Fit:
    return fit(EvalData(inputs, **more), named)


def test_saturation_is_for_colour() -> None:
    """With opacity as well, which stays, and beside a grey image, which stays too."""
    four = RNG.random((30, 4, 8, 8))
    four[0, 0, 0, :2] = 0, 1
    after = read({"rgba": four, "depth": IMAGES}, cell("saturate"))[0]
    assert np.array_equal(after["rgba"][:, 3], four[:, 3])
    assert not np.array_equal(after["rgba"], four)
    assert np.array_equal(after["depth"], IMAGES)
    assert not auto(four).notes


def test_families_are_found_where_one_fits() -> None:
    """Images by their four dimensions, texts, frames and rows of numbers; saturation needs colour."""
    grey = auto(IMAGES)
    assert [corruption.name for corruption in grey.corruptions] == NAMES
    assert grey.notes == ("saturate left out: the inputs have no third colour channel",)
    assert auto(["a text", "another"]).corruptions[0].name == "keyboard_typos"
    table = auto(RNG.random((40, 3)))
    assert {corruption.family for corruption in table.corruptions} == {"tabular"}
    assert "swapped_categories left out: the inputs have no column of categories" in table.notes
    assert len(auto(RNG.random((40, 3000)), "series").corruptions) == 5
    frame = pd.DataFrame({"text": ["a b", "c d"], "n": [1.5, 2.5]})
    assert len(auto(frame, "text").corruptions) == 7


@pytest.mark.parametrize(
    ("inputs", "named", "error", "told"),
    [
        (RNG.random((4, 28, 28)), "auto", DoesNotFit, "may be images, series or a table. Write corruptions='images'"),
        (RNG.random((4, 3000)), "auto", DoesNotFit, "may be images, series or a table"),
        (np.ones((4, 16), dtype=np.int64), "auto", NotApplicable, "the inputs are token ids"),
        (np.ones((4, 16), dtype=np.int64), "text", NotApplicable, "act before the tokenizer"),
        (RNG.random((4, 16)), "text", DoesNotFit, "are for texts: a list of strings"),
        (["a", "b"], "images", DoesNotFit, "are for images"),
        (RNG.random((4, 5, 6, 7)), "images", DoesNotFit, "with 1, 3 or 4 channels first or last"),
    ],
)
def test_what_fits_nothing_is_told(inputs: Any, named: str, error: type[Exception], told: str) -> None:
    """Shapes that may be several things, tokens (trap 24), and a family for other inputs."""
    with pytest.raises(error, match=told.replace("(", "\\(")):
        auto(inputs, named)


def test_a_family_beside_others_leaves_out_what_does_not_fit() -> None:
    """Only what was named itself must fit."""
    named = find(["images", rain], {}, lambda spec: rain)
    assert not isinstance(named, str)
    found = fit(EvalData(IMAGES), named)
    assert [str(corruption) for corruption in found.corruptions] == [*NAMES, "rain"]


def test_a_named_corruption_that_does_not_fit_is_told() -> None:
    """Of a family it would be left out; by name it is a mistake."""
    with pytest.raises(DoesNotFit, match="corruption 'saturate' needs a third colour channel"):
        read(IMAGES, cell("saturate"))
    with pytest.raises(DoesNotFit, match="corruption 'shifted_time' needs a column of dates"):
        read(RNG.random((40, 3)), cell("shifted_time"))


def rain(image: Any, severity: int, rng: np.random.Generator) -> Any:
    return np.where(rng.random(image.shape) < 0.1 * severity, 2.0, image).astype(image.dtype)


def test_a_custom_corruption_gets_one_sample_and_its_generator() -> None:
    """In the data's own shape and type; clipped to the range that is safe to infer; the same for every reading."""
    after = read(IMAGES, cell(rain, 3))[0]
    expected = np.stack([np.minimum(rain(image, 3, stream(cell(rain, 3), at)), 1) for at, image in enumerate(IMAGES)])
    assert np.array_equal(after, expected)
    unbounded = read(IMAGES - 0.5, cell(rain, 3))[0]  # no range is known, and none is asked for
    assert unbounded.max() == 2


def test_custom_corruptions_of_other_forms() -> None:
    """Texts, tensors, frames of one row and mappings."""
    texts = read(["a b", "c"], cell(lambda text, *_: text.upper()))[0]
    assert texts == ["A B", "C"]
    tensor = read(torch.as_tensor(IMAGES), cell(lambda image, *_: image * 0.5))[0]
    assert torch.equal(tensor, torch.as_tensor(IMAGES) * 0.5)
    frame = read(pd.DataFrame({"n": [1.5, 2.5]}), cell(lambda row, *_: row * 2))[0]
    assert frame["n"].tolist() == [3, 5]
    named = read({"a": np.arange(3.0), "b": IMAGES[:3]}, cell(lambda one, *_: {**one, "a": one["a"] + 0.5}))[0]
    assert named["a"].tolist() == [0.5, 1.5, 2.5]


def raising(*_: Any) -> Any:
    raise ValueError("no rain today")


def unseeded(image: Any, *_: Any) -> Any:
    return np.random.rand(*image.shape).astype(image.dtype)  # noqa: NPY002 - the mistake under test


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda image, *_: image[:, :4], r"makes float32 of shape \(1, 4, 8\) from float32 of shape \(1, 8, 8\)"),
        (lambda image, *_: image * np.float64(0.5), r"makes float64 .* write .astype\(image.dtype\)"),
        (lambda *_: None, "makes NoneType"),
        (raising, "corruption raising:5 raised ValueError: no rain today on sample 0"),
        (unseeded, "corruption unseeded:5 gives another result each time .* Take all random numbers from its third"),
    ],
)
def test_a_custom_corruption_that_breaks_the_rules_is_told(function: Any, told: str) -> None:
    """Another shape or type, none, an error, unseeded noise."""
    with pytest.raises(DataError, match=told):
        read(IMAGES, cell(function))


@pytest.mark.parametrize("name", ["fog", "column_noise", "rain"])
def test_every_sample_beats(name: str) -> None:
    """A watchdog that expects a sign of life within seconds is not disturbed by a batch of large images."""
    beats = []
    inputs = RNG.random((9, 4)) if name == "column_noise" else IMAGES[:9]
    what, data = cell(rain if name == "rain" else name), EvalData(inputs, batch_size=9)
    found = fit(data, (what.corruption,), limits=(0, 1))
    list(corrupted(data, what, found, beat=lambda: beats.append(1)).batches())
    assert len(beats) >= 9


def test_missing_values_stay() -> None:
    """NaN in an image is neither clipped nor filled by most corruptions, and the others are unharmed."""
    images = IMAGES.copy()
    images[4, 0, 3, 3] = np.nan
    after = read(images, cell("gaussian_noise"))[0]
    assert np.isnan(after[4, 0, 3, 3])
    assert np.isnan(after).sum() == 1


def test_a_subset_has_every_class_in_proportion() -> None:
    """Largest remainders; the same for one seed, another for another; all where as many are wanted."""
    targets = np.array(["a"] * 700 + ["b"] * 200 + ["c"] * 100)
    chosen: Any = subset(1000, targets, 100, seed=3)
    again: Any = subset(1000, targets, 100, seed=3)
    other: Any = subset(1000, targets, 100, seed=4)
    assert np.unique(targets[chosen], return_counts=True)[1].tolist() == [70, 20, 10]
    assert np.array_equal(chosen, np.unique(chosen))
    assert np.array_equal(chosen, again)
    assert not np.array_equal(chosen, other)
    assert subset(1000, targets, 1000, seed=3) is None
    assert len(subset(1000, np.linspace(0, 1, 1000), 10, seed=0)) == 10  # type: ignore[arg-type]
    assert len(subset(1000, None, 10, seed=0)) == 10  # type: ignore[arg-type]


def test_groups_stay_those_of_the_samples() -> None:
    """A slice that is a function of the inputs is that of the inputs as they were."""
    data = EvalData(IMAGES, np.zeros(30), slices={"bright": lambda images: images.mean(axis=(1, 2, 3)) > 0.5})
    what = cell("brightness")
    harder = corrupted(data, what, fit(data, (what.corruption,)))
    assert np.array_equal(harder.slices()[0].codes, data.slices()[0].codes)
