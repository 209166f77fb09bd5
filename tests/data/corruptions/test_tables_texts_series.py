"""Corruptions of tables, texts and series: shares and sizes counted, and what must never change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_modelbench.data.corruptions.applying import corrupted
from pytest_modelbench.data.corruptions.fitting import fit
from pytest_modelbench.data.corruptions.names import BUILT_IN, Cell, Corruption
from pytest_modelbench.data.corruptions.series import LEVELS as OF_SERIES
from pytest_modelbench.data.corruptions.series import SERIES
from pytest_modelbench.data.corruptions.text import LOOKALIKES, NEIGHBOURS, SHARES, TEXT
from pytest_modelbench.data.evaldata import EvalData

ROWS = 400
RNG = np.random.default_rng(0)
AGE, CITY = RNG.normal(40, 10, ROWS), RNG.choice(["Kiel", "Ulm", "Hof"], ROWS)
COLOUR = np.eye(3)[RNG.integers(0, 3, ROWS)]
DAY = np.datetime64("2024-01-01", "s") + RNG.integers(0, 10**7, ROWS).astype("timedelta64[s]")
FRAME = pd.DataFrame({"age": AGE, "rooms": RNG.integers(1, 7, ROWS), "city": CITY, "day": DAY, "price": AGE**2})


def changed(frame: Any, name: str, severity: int) -> Any:
    data = EvalData(frame, np.zeros(ROWS), task="regression")
    cell = Cell(corruption=Corruption(name=name), severity=severity)
    return next(corrupted(data, cell, fit(data, (cell.corruption,))).batches(ROWS)).inputs


@pytest.mark.parametrize("name", [name for name, info in BUILT_IN.items() if info.family == "tabular"])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_keep_their_columns(name: str, library: str) -> None:
    """Columns, dtypes, rows and the frame itself stay; something changes."""
    frame: Any = FRAME if library == "pandas" else pl.from_pandas(FRAME)
    before = frame.copy() if library == "pandas" else frame.clone()
    after = changed(frame, name, 5)
    assert list(after.columns) == list(frame.columns)
    assert list(after.dtypes) == list(frame.dtypes)
    assert frame.equals(before)
    assert not after.equals(frame)


@pytest.mark.parametrize(("severity", "share"), [*enumerate((0.1, 0.2, 0.4, 0.6, 1.0), 1)])
def test_column_noise_has_the_columns_scale(severity: int, share: float) -> None:
    """A share of each column's standard deviation, within the values that were seen: categories have none."""
    after = changed(FRAME, "column_noise", severity)
    moved = (after["age"] - FRAME["age"])[(FRAME["age"] > 35) & (FRAME["age"] < 45)]
    assert moved.std() == pytest.approx(share * AGE.std(), rel=0.2)
    assert after["age"].between(AGE.min(), AGE.max()).all()
    assert after["rooms"].equals(FRAME["rooms"])


@pytest.mark.parametrize(("severity", "share"), [*enumerate((0.05, 0.1, 0.2, 0.35, 0.5), 1)])
def test_shares_of_cells(severity: int, share: float) -> None:
    """As many missing, shuffled and swapped cells as the severity says; those of other rows are values that were seen."""
    missing = changed(FRAME, "missing_cells", severity)
    for column in ("age", "city", "day"):
        assert missing[column].isna().mean() == pytest.approx(share, abs=0.06)
    assert not missing["rooms"].isna().any()
    shuffled = changed(FRAME, "shuffled_cells", severity)["age"]
    assert (shuffled != FRAME["age"]).mean() == pytest.approx(share, abs=0.06)
    assert set(shuffled) <= set(AGE)
    swapped = changed(FRAME, "swapped_categories", severity)
    assert (swapped["city"] != FRAME["city"]).mean() == pytest.approx(share * 2 / 3, abs=0.06)
    assert swapped["age"].equals(FRAME["age"])


def test_one_hot_columns_stay_one_category() -> None:
    """Noise leaves them alone, and a swap moves all of them: each row still has exactly one 1 (trap 24)."""
    table = np.column_stack([AGE, COLOUR]).astype(np.float32)
    noisy, swapped = changed(table, "column_noise", 5), changed(table, "swapped_categories", 5)
    assert np.array_equal(noisy[:, 1:], table[:, 1:])
    assert np.array_equal(swapped[:, 1:].sum(axis=1), np.ones(ROWS))
    assert 0.2 < np.mean((swapped[:, 1:] != table[:, 1:]).any(axis=1)) < 0.5
    assert swapped.dtype == np.float32


@pytest.mark.parametrize(("severity", "factor"), [*enumerate((1.8, 2.54, 10, 100, 1000), 1)])
def test_one_number_of_each_row_is_in_another_unit(severity: int, factor: float) -> None:
    """Exactly one cell a row is multiplied, each column about as often."""
    after = changed(FRAME, "unit_slip", severity)
    slipped = np.column_stack([after[name] / FRAME[name] for name in ("age", "price")])
    assert np.sort(slipped, axis=1) == pytest.approx(np.tile([1, factor], (ROWS, 1)))
    assert 0.4 < np.mean(slipped[:, 0] > 1) < 0.6


def test_levels_and_dates_by_hand() -> None:
    """Severity 5 leaves four levels of a number, and moves all dates of a row by a year one way."""
    assert len(np.unique(changed(FRAME, "coarse_cells", 5)["age"])) == 4
    moved = (changed(FRAME, "shifted_time", 5)["day"] - FRAME["day"]).dt.days
    assert set(moved) == {-365, 365}


TEXT_SAMPLE = "The quick brown fox jumps over the lazy dog, and Other Xenial texts follow it here. " * 40


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("severity", range(1, 6))
def test_texts_change_by_the_share(name: str, severity: int) -> None:
    """The share of characters (words, for truncation) that differ is that of the severity, of those that can."""
    share = SHARES[name][severity - 1]
    after = TEXT[name](TEXT_SAMPLE, share, np.random.default_rng(severity))
    n = len(TEXT_SAMPLE)
    if name in {"keyboard_typos", "random_case", "lookalikes"}:
        able = {"keyboard_typos": str.isalpha, "random_case": str.isalpha, "lookalikes": LOOKALIKES.__contains__}[
            name
        ]
        pairs = [(a, b) for a, b in zip(TEXT_SAMPLE, after, strict=True) if able(a)]
        assert np.mean([a != b for a, b in pairs]) == pytest.approx(share, abs=0.015 + share * 0.1)
        assert all(a == b for a, b in zip(TEXT_SAMPLE, after, strict=True) if not able(a))
    elif name == "dropped_letters":
        assert 1 - len(after) / n == pytest.approx(share, abs=0.02)
    elif name == "swapped_letters":
        assert sorted(after) == sorted(TEXT_SAMPLE)
        assert after != TEXT_SAMPLE
    elif name == "whitespace":
        assert after.replace(" ", "") == TEXT_SAMPLE.replace(" ", "")
        assert after != TEXT_SAMPLE
    else:
        assert len(after.split(" ")) == round(len(TEXT_SAMPLE.split(" ")) * (1 - share))


def test_keyboard_and_lookalikes_by_hand() -> None:
    """Neighbours of a and g on QWERTY; look-alikes are other letters, and none of them is ASCII."""
    assert set(NEIGHBOURS["a"]) == set("qwsz") | {"x"}
    assert set(NEIGHBOURS["g"]) == set("rtyfhvbn")
    assert all(ord(other) > 127 for other in LOOKALIKES.values())
    assert len(LOOKALIKES) == 21


@pytest.mark.parametrize("text", ["", "a", " ", "é"])
def test_short_texts_stay_texts(text: str) -> None:
    """No corruption raises, and what was not empty does not become empty but for a lone space."""
    for name, change in TEXT.items():
        after = change(text, SHARES[name][4], np.random.default_rng(0))
        assert isinstance(after, str)
        assert bool(after.strip()) >= bool(text.strip())


WAVE = np.sin(np.linspace(0, 60, 4000))[:, None] * np.array([1.0, 3.0])


@pytest.mark.parametrize("severity", range(1, 6))
def test_series_by_their_own_scale(severity: int) -> None:
    """Noise of a share of each channel's deviation; as many zeros; values cut at the quantile; both ends stay."""
    rng, at = np.random.default_rng(0), severity - 1
    noise = SERIES["series_noise"](WAVE, OF_SERIES["series_noise"][at], rng) - WAVE
    assert noise.std(axis=0) == pytest.approx(OF_SERIES["series_noise"][at] * WAVE.std(axis=0), rel=0.05)
    clipped = SERIES["clipping"](WAVE, OF_SERIES["clipping"][at], rng)
    assert np.mean(clipped != WAVE) == pytest.approx(1 - OF_SERIES["clipping"][at], abs=0.01)
    dropped = SERIES["dropout"](WAVE, OF_SERIES["dropout"][at], rng)
    zeros = np.mean((dropped == 0) & (WAVE != 0))
    assert 0.2 * OF_SERIES["dropout"][at] < zeros <= OF_SERIES["dropout"][at] + 0.001
    jittered = SERIES["jitter"](WAVE, OF_SERIES["jitter"][at], rng)
    steps = OF_SERIES["jitter"][at] * np.abs(np.diff(WAVE, axis=0)).max(axis=0)
    assert (np.abs(jittered - WAVE).max(axis=0) <= steps + 1e-12).all()
    fewer = SERIES["resampling"](WAVE, OF_SERIES["resampling"][at], rng)
    assert fewer[[0, -1]] == pytest.approx(WAVE[[0, -1]])
    assert 0 < np.abs(fewer - WAVE).max() < 0.1
