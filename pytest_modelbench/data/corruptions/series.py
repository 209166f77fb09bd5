"""Corruptions of series such as sound: one series (time, channels) of floats at a time.

Our own definitions: none of the published benchmarks for series has become the usual one. Callers clip to the range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
LEVELS: Mapping[str, tuple[float, ...]] = {
    "series_noise": (0.05, 0.1, 0.2, 0.35, 0.5),
    "clipping": (0.99, 0.95, 0.9, 0.8, 0.6),
    "dropout": (0.02, 0.05, 0.1, 0.2, 0.4),
    "jitter": (0.5, 1, 2, 4, 8),
    "resampling": (0.8, 0.6, 0.4, 0.25, 0.125),
}
STRETCHES = 4


def series_noise(series: Series, share: float, rng: np.random.Generator) -> Series:
    """Add normal noise: a share of each channel's standard deviation."""
    noise: Series = share * np.nanstd(series, axis=0) * rng.standard_normal(series.shape)
    return series + noise


def clipping(series: Series, quantile: float, _: np.random.Generator) -> Series:
    """Cut off at a quantile of each channel's distance from its median."""
    centre = np.nanmedian(series, axis=0)
    most = np.nanquantile(np.abs(series - centre), quantile, axis=0)
    return np.clip(series, centre - most, centre + most)


def dropout(series: Series, share: float, rng: np.random.Generator) -> Series:
    """Set stretches to 0 that are a share of the series together; they may overlap."""
    dropped, length = series.copy(), max(1, round(len(series) * share / STRETCHES))
    for start in rng.integers(0, max(1, len(series) - length + 1), STRETCHES):
        dropped[start : start + length] = 0
    return dropped


def jitter(series: Series, steps: float, rng: np.random.Generator) -> Series:
    """Read each value up to some steps too early or too late, linearly interpolated."""
    time = np.arange(len(series), dtype=float)
    return _read(series, time + rng.uniform(-steps, steps, len(series)))


def resampling(series: Series, share: float, _: np.random.Generator) -> Series:
    """Keep a share of the values, evenly spaced, and interpolate between them linearly."""
    time = np.arange(len(series), dtype=float)
    kept = np.linspace(0, len(series) - 1, max(2, round(len(series) * share)))
    fewer = _read(series, kept)
    return np.stack([np.interp(time, kept, channel) for channel in fewer.T], axis=1)


def _read(series: Series, at: Series) -> Series:
    time = np.arange(len(series), dtype=float)
    return np.stack([np.interp(at, time, channel) for channel in series.T], axis=1)


SERIES: Mapping[str, Callable[[Series, float, np.random.Generator], Series]] = {
    function.__name__: function for function in (series_noise, clipping, dropout, jitter, resampling)
}
