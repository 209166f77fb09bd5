"""Corruptions of images: hand-worked values, and independent references from colorsys and plain loops."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data.corruptions.filters import plasma
from pytest_modelbench.data.corruptions.images import IMAGES, LEVELS, disk, level

RNG = np.random.default_rng(0)
SMALL, LARGE = RNG.random((8, 8, 3)), RNG.random((96, 100, 3))
SEVERITIES = range(1, 6)


def corrupted(name: str, image: Any, severity: int, seed: int = 0) -> Any:
    changed = IMAGES[name](image, level(name, image, severity), np.random.default_rng(seed))
    return np.clip(changed, 0, 1)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("image", [SMALL, SMALL[..., :1], LARGE[..., :1]], ids=["colour", "grey", "large"])
def test_every_corruption_keeps_the_shape(name: str, image: Any) -> None:
    """At every severity, finite, and not the same image."""
    if image.shape[2] == 1 and name == "saturate":
        name = "contrast"  # `fit` leaves saturation out for grey images
    for severity in SEVERITIES:
        changed = corrupted(name, image, severity)
        assert changed.shape == image.shape
        assert np.isfinite(changed).all()
    assert not np.array_equal(changed, image)


NOT_FURTHER = {
    "saturate": "less of it at severities 1 and 2, more from 3 on",
    "elastic_transform": "large waves at severities 1 and 2, small ones from 3 on",
    "glass_blur": "rounds and distances of the pixels change by turns",
    "frost": "less of the image and more of the texture, which may be as bright",
}
"""Corruptions whose published severities are not steps in one direction."""


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in NOT_FURTHER])
def test_severity_takes_the_image_further_away(name: str) -> None:
    """The mean squared distance from the image grows from severity 1 to 5, but for those that are named above."""
    image = np.clip(0.5 + 0.25 * np.sin(np.linspace(0, 6, 96 * 96)).reshape(96, 96, 1).repeat(3, 2), 0, 1)
    distances = [float(np.mean((corrupted(name, image, severity) - image) ** 2)) for severity in (1, 3, 5)]
    assert distances == sorted(distances)
    assert distances[0] < distances[-1]


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noises_have_the_published_scale(severity: int) -> None:
    """Standard deviations over many pixels of grey 0.5, before clipping: c, c / 2, and sqrt(0.5 / photons)."""
    image = np.full((200, 200, 3), 0.5)
    rng = np.random.default_rng(1)
    scale = {1: 0.08, 2: 0.12, 3: 0.18, 4: 0.26, 5: 0.38}[severity]
    assert np.std(IMAGES["gaussian_noise"](image, scale, rng)) == pytest.approx(scale, rel=0.02)
    assert np.std(IMAGES["speckle_noise"](image, scale, rng)) == pytest.approx(scale / 2, rel=0.02)
    photons = (60, 25, 12, 5, 3)[severity - 1]
    assert np.std(IMAGES["shot_noise"](image, photons, rng)) == pytest.approx(math.sqrt(0.5 / photons), rel=0.02)
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    impulses = IMAGES["impulse_noise"](image, share, rng)
    assert np.mean(impulses == 1) == pytest.approx(share / 2, rel=0.06)
    assert np.mean(impulses == 0) == pytest.approx(share / 2, rel=0.06)
    for name, value in {"gaussian_noise": scale, "shot_noise": photons, "impulse_noise": share}.items():
        assert level(name, image, severity) == value


def test_small_and_large_images_have_their_own_severities() -> None:
    """CIFAR-10-C's for a shorter side below 96 pixels, ImageNet-C's from there on."""
    assert level("contrast", np.zeros((95, 500, 1)), 5) == 0.15
    assert level("contrast", np.zeros((96, 96, 1)), 5) == 0.05
    assert set(LEVELS) == set(IMAGES)


def test_contrast_by_hand() -> None:
    """Values 0 and 1 have the mean 0.5: at 0.15 of the distance they are 0.425 and 0.575, each channel apart."""
    image = np.array([[[0.0, 0.2], [1.0, 0.2]]])
    assert corrupted("contrast", image, 5) == pytest.approx(np.array([[[0.425, 0.2], [0.575, 0.2]]]))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_and_saturation_as_colorsys(severity: int) -> None:
    """Pixel by pixel in HSV by the standard library, also of black and of grey."""
    image = np.concatenate([SMALL, np.zeros((1, 8, 3)), np.full((1, 8, 3), 0.4)])
    more = level("brightness", image, severity)
    factor, added = level("saturate", image, severity)
    brighter, coloured = np.empty_like(image), np.empty_like(image)
    for at in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[at])
        brighter[at] = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1))
        coloured[at] = colorsys.hsv_to_rgb(hue, min(saturation * factor + added, 1), value)
    assert corrupted("brightness", image, severity) == pytest.approx(brighter)
    assert corrupted("saturate", image, severity) == pytest.approx(coloured)


def test_pixelate_by_hand() -> None:
    """Four pixels a side at 0.65 are int(2.6) = 2 blocks a side: each value is the mean of its 2 x 2 pixels."""
    image = np.arange(16.0).reshape(4, 4, 1) / 16
    expected = np.kron(np.array([[2.5, 4.5], [10.5, 12.5]]) / 16, np.ones((2, 2)))[..., None]
    assert corrupted("pixelate", image, 5) == pytest.approx(expected)


def test_gaussian_blur_by_a_plain_sum() -> None:
    """The middle of a point of light is the squared weight of a one-dimensional kernel cut off at four sigmas."""
    image = np.zeros((101, 101, 1))
    image[50, 50] = 1
    weights = np.exp(-(np.arange(-8, 9) ** 2) / (2 * 2**2))
    weights /= weights.sum()
    blurred = corrupted("gaussian_blur", image, 2)
    assert level("gaussian_blur", image, 2) == 2
    assert blurred[50, 50, 0] == pytest.approx(weights[8] ** 2)
    assert blurred[50, 53, 0] == pytest.approx(weights[8] * weights[11])
    assert blurred.sum() == pytest.approx(1)


def test_disk_by_hand() -> None:
    """Radius 1 is a plus of five pixels; hardly smoothed, each has a fifth. A kernel adds up to 1."""
    kernel = disk(1, 0.01)
    assert kernel.shape == (17, 17)
    assert kernel[8, 8] == pytest.approx(0.2)
    assert kernel[8, 9] == pytest.approx(0.2)
    assert kernel[9, 9] == pytest.approx(0, abs=1e-12)
    assert disk(10, 0.5).shape == (21, 21)
    assert disk(10, 0.5).sum() == pytest.approx(1)


def test_blurs_keep_a_plain_image() -> None:
    """Weights add up to 1, also at the edges."""
    image = np.full((20, 30, 3), 0.3)
    for name in ("gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur", "pixelate", "contrast"):
        assert corrupted(name, image, 5) == pytest.approx(image), name


def test_zoom_blur_by_hand() -> None:
    """At factor 1 alone the mean of the image and itself; a bright middle spreads at others."""
    image = np.zeros((100, 100, 1))
    image[45:55, 45:55] = 1
    assert IMAGES["zoom_blur"](image, (1.0,), np.random.default_rng(0)) == pytest.approx(image)
    larger = IMAGES["zoom_blur"](image, (2.0,), np.random.default_rng(0))
    assert larger[50, 50, 0] == pytest.approx(1)
    assert larger[42, 50, 0] == pytest.approx(0.5)  # of the enlarged copy alone
    assert larger[20, 50, 0] == 0


def test_fog_is_a_haze_that_keeps_the_largest_value() -> None:
    """X + thickness * haze, times largest / (largest + thickness): at most the largest value before."""
    image = np.full((32, 32, 1), 0.6)
    hazy = corrupted("fog", image, 5)
    assert hazy.max() == pytest.approx(0.6)
    assert hazy.min() == pytest.approx(0.6 * 0.6 / (0.6 + 1.5))
    haze = plasma(32, 1.75, np.random.default_rng(3))
    assert (haze.min(), haze.max()) == (0, 1)


def test_black_stays_black_in_fog_as_published() -> None:
    """The published code multiplies by largest / (largest + thickness) also where the largest value is 0."""
    assert not corrupted("fog", np.zeros((32, 32, 3)), 5).any()


def test_opacity_brightens_nothing() -> None:
    """Of an opaque image the colours change as they do without the fourth channel, which is not the largest value."""
    opaque = np.concatenate([0.5 * SMALL, np.ones((8, 8, 1))], axis=2)
    for name in ("brightness", "fog"):
        changed = corrupted(name, opaque, 5)
        assert np.array_equal(changed[..., :3], corrupted(name, 0.5 * SMALL, 5)), name
        assert (changed[..., 3] == 1).all()
    assert not np.array_equal(corrupted("brightness", opaque, 5), opaque)


def test_motion_blur_goes_one_way() -> None:
    """Horizontal at an angle of 0: weights exp(-i^2 / 2 sigma^2) to one side."""

    class Straight:
        def uniform(self, *_: float) -> float:
            return 0.0

    image = np.zeros((5, 40, 1))
    image[2, 20] = 1
    blurred = IMAGES["motion_blur"](image, (6, 2), Straight())  # type: ignore[arg-type]
    weights = np.exp(-(np.arange(13) ** 2) / 8)
    weights /= weights.sum()
    assert blurred[2, 20 - np.arange(13), 0] == pytest.approx(weights)
    assert blurred[2, 21:].sum() == 0
