"""Weather, moved pixels and JPEG: plain loops, values by hand, Pillow's JPEG, and images of few pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data.corruptions.filters import BRIGHTNESS, grey
from pytest_modelbench.data.corruptions.images import IMAGES, level
from pytest_modelbench.data.corruptions.jpeg import BRIGHT, COLOUR, steps
from pytest_modelbench.data.corruptions.warps import taken_nearby
from pytest_modelbench.data.corruptions.weather import MUD, WATER, crystals

RNG = np.random.default_rng(3)
PHOTO = np.clip(
    0.5 + 0.4 * np.sin(np.arange(61)[:, None, None] / (9, 13, 17) + np.arange(45)[:, None] / (5, 7, 11)), 0, 1
)
"""A smooth colour image of 61 x 45 pixels, no multiple of 8."""
NEW = ("glass_blur", "elastic_transform", "snow", "frost", "jpeg_compression", "spatter")


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


class Fixed:
    """Stands for a generator whose numbers are all known."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def uniform(self, *_: Any) -> Any:
        return self.values.pop(0)

    normal = uniform


def test_severities_are_the_published_ones() -> None:
    """Those of 224 x 224 and of 32 x 32; lengths of the elastic distortion are shares of the shorter side."""
    large, small = np.zeros((224, 224, 3)), np.zeros((32, 32, 3))
    assert [level("jpeg_compression", large, s) for s in range(1, 6)] == [25, 18, 15, 10, 7]
    assert [level("jpeg_compression", small, s) for s in range(1, 6)] == [80, 65, 58, 50, 40]
    assert level("glass_blur", large, 5) == (1.5, 4, 2)
    assert level("glass_blur", small, 3) == (0.4, 1, 1)
    assert level("snow", large, 5) == (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)
    assert level("frost", large, 3)[:2] == (0.7, 0.7)
    assert level("spatter", small, 4) == (0.65, 0.1, 0.7, 0.69, 0.6, True)
    assert 224 * np.array(level("elastic_transform", large, 2)) == pytest.approx([244 * 2, 244 * 0.08, 244 * 0.2])
    assert 32 * np.array(level("elastic_transform", small, 5)) == pytest.approx([3.2, 0.96, 0.96])


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 1), (3, 2, 3), (8, 8, 1), (28, 28, 1), (32, 32, 4)])
def test_small_images_are_corrupted_too(name: str, shape: tuple[int, ...]) -> None:
    """In shape, finite, the same for one seed, and a fourth channel stays as it is."""
    image = RNG.random(shape)
    for severity in range(1, 6):
        changed, again = (IMAGES[name](image, level(name, image, severity), rng()) for _ in range(2))
        assert changed.shape == shape
        assert np.isfinite(changed).all()
        assert np.array_equal(changed, again)
        if shape[2] == 4:
            assert np.array_equal(changed[..., 3], image[..., 3])


@pytest.mark.parametrize(("shape", "reach"), [((9, 7, 3), 1), ((12, 12, 3), 2), ((20, 30, 1), 4)])
def test_pixels_take_values_as_the_published_loop_does(shape: tuple[int, ...], reach: int) -> None:
    """Pixel by pixel from the last to the first, with the line of the published code, on numpy's views."""
    height, width = shape[:2]
    moves = RNG.integers(-reach, reach, (height - 2 * reach, width - 2 * reach, 2))
    image = np.arange(float(np.prod(shape))).reshape(shape)
    expected = image.copy()
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            down, right = moves[h - reach - 1, w - reach - 1]
            near = h + down, w + right
            expected[h, w], expected[near] = expected[near], expected[h, w]
    assert np.array_equal(taken_nearby(image, moves, reach), expected)


def test_glass_keeps_a_plain_image_and_every_value_of_an_unblurred_one() -> None:
    """A value is always one that is nearby."""
    assert IMAGES["glass_blur"](np.full((20, 30, 3), 0.3), (1.5, 4, 2), rng()) == pytest.approx(0.3)
    image = RNG.random((30, 30, 1))
    moved = IMAGES["glass_blur"](image, (0, 2, 1), rng())
    assert set(moved.ravel()) < set(image.ravel())
    assert np.array_equal(moved[0], image[0])


def test_an_affine_map_by_hand() -> None:
    """Corners moved by one row shift the image, mirrored at the edge; corners turned by 90 degrees turn it."""
    image = RNG.random((9, 9, 3))
    none = np.zeros((9, 9))
    down = IMAGES["elastic_transform"](image, (0, 0, 0.1), Fixed(np.tile([1.0, 0.0], (3, 1)), none, none))  # type: ignore[arg-type]
    assert down == pytest.approx(np.concatenate([image[1:2], image[:-1]]))
    turned = np.array([[0, -6], [6, 0], [0, 6]])  # of (7, 7), (1, 7), (1, 1) to (7, 1), (7, 7), (1, 7)
    right = IMAGES["elastic_transform"](image, (0, 0, 0.1), Fixed(turned, none, none))  # type: ignore[arg-type]
    assert right == pytest.approx(np.rot90(image, -1))


def test_a_field_moves_each_pixel_by_hand() -> None:
    """Half a pixel down and a quarter to the right: the weighted mean of four pixels."""
    image = RNG.random((10, 10, 1))
    rows, columns = np.full((10, 10), 0.5), np.full((10, 10), 0.25)
    still = np.zeros((3, 2))
    moved = IMAGES["elastic_transform"](image, (0.1, 0, 0), Fixed(still, rows, columns))  # type: ignore[arg-type]
    for h, w in ((0, 0), (4, 5), (8, 8)):
        patch = image[h : h + 2, w : w + 2, 0]
        assert moved[h, w, 0] == pytest.approx([0.5, 0.5] @ patch @ [0.75, 0.25])


def test_snow_by_hand() -> None:
    """Without flakes a loop over pixels; flakes are added once, and once turned by 180 degrees."""
    noise = np.zeros((61, 45, 1))
    white = IMAGES["snow"](PHOTO, (0, 0, 1, 0.5, 2, 1, 0.7), Fixed(noise, -90))  # type: ignore[arg-type]
    for h, w in np.ndindex(61, 45):
        seen = float(PHOTO[h, w] @ BRIGHTNESS)
        assert white[h, w] == pytest.approx([0.7 * v + 0.3 * max(v, 1.5 * seen + 0.5) for v in PHOTO[h, w]])
    one = noise.copy()
    one[40, 20], one[10, 10] = 0.9, 0.4  # the second is below the threshold
    fallen = IMAGES["snow"](PHOTO, (0, 0, 1, 0.5, 2, 1, 0.7), Fixed(one, -90)) - white  # type: ignore[arg-type]
    weights = np.exp(-(np.arange(5) ** 2) / 2)
    assert fallen[40:45, 20] == pytest.approx(np.outer(0.9 * weights / weights.sum(), np.ones(3)))
    assert fallen == pytest.approx(np.rot90(fallen, 2))
    assert fallen.sum() == pytest.approx(2 * 3 * 0.9)


def test_frost_is_a_share_of_the_image_and_one_of_a_texture() -> None:
    """Of black only the texture is left, of two images the difference that the image's share leaves; bluish."""
    kept, added, finer = 0.7, 0.7, 1
    black, photo = (IMAGES["frost"](image, (kept, added, finer), rng()) for image in (0 * PHOTO, PHOTO))
    assert photo - black == pytest.approx(kept * PHOTO)
    assert 0 <= black.min() <= black.max() <= added
    red, _, blue = black.mean(axis=(0, 1))
    assert red < blue
    colourless = IMAGES["frost"](np.zeros((61, 45, 1)), (kept, added, finer), rng())
    assert colourless.shape == (61, 45, 1)


def test_the_texture_of_frost_is_like_the_published_photographs() -> None:
    """Brightness, deviation and how neighbours correlate, which were measured on the files of the published code."""
    textures = [crystals(400, 400, np.random.default_rng(seed)) for seed in range(4)]
    means = [texture.mean() for texture in textures]
    assert 0.47 < min(means) < max(means) < 0.82
    assert np.ptp(means) > 0.1
    assert np.mean([texture.std() for texture in textures]) == pytest.approx(0.11, abs=0.02)
    for distance, expected in ((1, 0.84), (5, 0.6), (20, 0.48)):
        pairs = [(t[:, :-distance].ravel(), t[:, distance:].ravel()) for t in textures]
        assert np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]) == pytest.approx(expected, abs=0.1)


def test_water_brightens_drops_in_its_colour() -> None:
    """By at most the strength, in the proportion 175 : 238 : 238, and nothing between the drops."""
    image = np.full((96, 96, 3), 0.2)
    more = IMAGES["spatter"](image, level("spatter", image, 1), rng()) - image
    assert more.max() == pytest.approx(0.6 * WATER[1])
    assert more[..., 0] * 238 == pytest.approx(more[..., 1] * 175)
    assert 0.02 < (more[..., 0] > 0).mean() < 0.5
    plain = IMAGES["spatter"](image[..., :1], level("spatter", image, 1), rng()) - image[..., :1]
    assert plain.max() == pytest.approx(0.6 * WATER @ BRIGHTNESS)


def test_mud_by_hand() -> None:
    """A drop hides the image by its blurred mask where that is above 0.8, and nothing else changes."""
    image, layer = np.full((9, 9, 3), 0.9), np.zeros((9, 9, 1))
    layer[3:6, 3:6] = 0.8
    muddy = IMAGES["spatter"](image, (0, 0, 0, 0.68, 0.3, True), Fixed(layer))  # type: ignore[arg-type]
    assert muddy[4, 4] == pytest.approx(MUD, abs=0.01)
    assert muddy[0, 0] == pytest.approx(0.9)
    assert {round(float(value), 6) for value in muddy[2].ravel()} == {0.9}
    none = IMAGES["spatter"](image, (0, 0, 0, 0.68, 0.3, False), Fixed(np.zeros((9, 9, 1))))  # type: ignore[arg-type]
    assert np.array_equal(none, image)


def test_tables_of_jpeg() -> None:
    """Sums of the standard's Tables K.1 and K.2, and libjpeg's scale of a quality, by hand."""
    assert (int(BRIGHT.sum()), int(COLOUR.sum())) == (3688, 5505)
    assert steps(BRIGHT, 10)[0, 0] == 80  # 16 * 500%
    assert steps(BRIGHT, 7)[7, 7] == 255  # 99 * 714%, cut off
    assert steps(COLOUR, 80)[0, 0] == 7  # 17 * 40% = 6.8


def test_jpeg_of_a_plain_block_by_hand() -> None:
    """131 is 3 above the middle: 24 in the transform, 1.5 steps of 16 at quality 50, two steps, 4 above the middle."""
    block = np.full((8, 8, 1), 131 / 255)
    assert 255 * IMAGES["jpeg_compression"](block, 50, rng()) == pytest.approx(132)


@pytest.mark.parametrize("quality", [80, 40, 25, 7])
@pytest.mark.parametrize("channels", [3, 1])
def test_jpeg_loses_what_pillows_does(quality: int, channels: int) -> None:
    """The same error to a few percent, and nearly the same pixels; only rounding and the edges differ."""
    images = pytest.importorskip("PIL.Image")
    pixels = np.round(255 * np.clip(PHOTO + RNG.normal(0, 0.04, PHOTO.shape), 0, 1)).astype(np.uint8)[..., :channels]
    file = io.BytesIO()
    images.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality)
    theirs = np.asarray(images.open(file), dtype=float).reshape(pixels.shape)
    ours = np.clip(255 * IMAGES["jpeg_compression"](pixels / 255, quality, rng()), 0, 255)
    lost = [np.sqrt(np.mean((other - pixels) ** 2)) for other in (ours, theirs)]
    assert lost[0] == pytest.approx(lost[1], rel=0.03)
    assert np.abs(ours - theirs).mean() < 2.5
    assert np.abs(ours - theirs).mean() < 0.2 * np.abs(theirs - pixels).mean()


def test_brightness_of_grey_is_itself() -> None:
    """And of white 1."""
    assert np.array_equal(grey(PHOTO[..., :1]), PHOTO[..., :1])
    assert grey(np.ones((2, 2, 3))) == pytest.approx(1)
