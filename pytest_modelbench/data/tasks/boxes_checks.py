"""Refuse boxes that are in another format than stated, of targets and of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from pytest_modelbench.data.tasks.boxes import (
    NORMALISED_TO,
    Array,
    as_corners,
    beyond,
    fitting_formats,
    outside,
    reversed_in,
)
from pytest_modelbench.errors import DataError, ModelError

Size = tuple[float, float]
_CHANNELS = {1, 3, 4}
_UNKNOWN = (np.nan, np.nan)
_SLACK = {"targets": 0.01, "outputs": 0.1}
_FEWEST = {"targets": 1, "outputs": 5}
_FEWEST_SHARES = 3


@dataclass(frozen=True)
class Form:
    """In which form boxes are stated to be.

    Attributes:
        box_format: `xyxy`, `xywh` or `cxcywh`.
        normalized: whether they are shares of the image's sides.
        of: `targets` or `outputs`.
        who: what has them, with its verb, for messages.
        arguments: what states format and normalisation, for messages.
    """

    box_format: str
    normalized: bool
    of: str
    who: str
    arguments: tuple[str, str]

    def refuse(self, message: str) -> NoReturn:
        """Raise what is wrong as a fault of the data or of the model.

        Raises:
            DataError: of targets.
            ModelError: of outputs.
        """
        error = DataError if self.of == "targets" else ModelError
        raise error(message)


def corners_of(
    form: Form, boxes: Sequence[Array], sizes: Sequence[Size | None], place: Callable[[int], str]
) -> list[Array]:
    """Return the boxes of a batch as (x1, y1, x2, y2) in pixels, float32, checked.

    Args:
        form: of the boxes.
        boxes: (k, 4) for each sample.
        sizes: height and width of each sample's image, None where unknown.
        place: names a sample for messages.

    Raises:
        DataError: boxes of targets are in another form.
        ModelError: boxes of outputs are.
    """
    owner = np.repeat(np.arange(len(boxes)), [len(each) for each in boxes])
    together = np.concatenate([np.empty((0, 4)), *boxes]).astype(np.float64)
    of_images = np.array([size or _UNKNOWN for size in sizes], dtype=np.float64).reshape(-1, 2)[owner]
    if form.normalized:
        _check_shares(form, together, owner, sizes, place)
        together = together * np.tile(of_images[:, ::-1], 2)
    _check_corners(form, together, of_images, owner, place)
    corners = as_corners(together, form.box_format).astype(np.float32)
    return [corners[owner == sample] for sample in range(len(boxes))]


def _check_shares(
    form: Form, boxes: Array, owner: Array, sizes: Sequence[Size | None], place: Callable[[int], str]
) -> None:
    """Refuse pixels that are stated to be shares, and shares of an unknown image."""
    large = np.flatnonzero(np.any(np.abs(boxes) > NORMALISED_TO, axis=1))
    if len(large):
        form.refuse(
            f"{place(int(owner[large[0]]))}: {form.who} the box {shown_box(boxes[large[0]])}, expected shares of the "
            f"image's sides from 0 to 1, as {form.arguments[1]}=True "
            f"states. For pixels write {form.arguments[1]}=False"
        )
    missing = [sample for sample in np.unique(owner) if sizes[sample] is None]
    if missing:
        raise DataError(
            f"{place(int(missing[0]))}: boxes are shares of the image's sides, and the size of the image is unknown. "
            "Add it to the target: {'boxes': ..., 'labels': ..., 'orig_size': (height, width)}"
        )


def _check_corners(form: Form, boxes: Array, sizes: Array, owner: Array, place: Callable[[int], str]) -> None:
    """Refuse boxes that end before they begin, and those that only another format brings into their images."""
    corners, slack = as_corners(boxes, form.box_format), _SLACK[form.of]
    wrong, far = reversed_in(corners), beyond(corners, sizes, slack)
    off = outside(corners, sizes) if form.of == "targets" else np.zeros(len(boxes), dtype=bool)
    fitting = fitting_formats(boxes, sizes, slack) if (wrong | far).any() else []
    clearly = len(fitting) > 0 and len(boxes) >= _FEWEST[form.of] and 5 * far.sum() >= len(boxes)
    for mask, certain in ((wrong, True), (far, clearly), (off, True)):
        if mask.any() and certain:
            first = int(np.argmax(mask))
            text = f"{place(int(owner[first]))}: {form.who} the box {shown_box(boxes[first])}"
            form.refuse(f"{text}, {_fault(form, corners[first], sizes[first])}. {_advice(form, fitting)}")


def _fault(form: Form, corners: Array, size: Array) -> str:
    """Say what is wrong with a box in the stated format."""
    if reversed_in(corners[None])[0]:
        axis = 0 if corners[2] < corners[0] else 1
        if form.box_format == "xyxy":
            return f"whose {'xy'[axis]}2 is less than its {'xy'[axis]}1 (format xyxy)"
        return f"whose {('width', 'height')[axis]} is negative (format {form.box_format})"
    return f"which reaches out of the image of {size[1]:g} x {size[0]:g} pixels in the format {form.box_format}"


def _advice(form: Form, fitting: Sequence[str]) -> str:
    """Say what to write: the only formats that fit all boxes of the batch."""
    if fitting:
        options = " or ".join(f"{form.arguments[0]}={name!r}" for name in fitting)
        return f"The numbers look like {' or '.join(fitting)}: write {options}"
    if form.of == "outputs":
        return "Return boxes that begin before they end, or state their format by output_format="
    return (
        "Correct the box, state the format by box_format=, or, where boxes belong to another size than the inputs, "
        "add 'orig_size': (height, width) to the targets"
    )


def check_units(form: Form, boxes: Sequence[Array], targets: Sequence[Array]) -> None:
    """Refuse outputs from 0 to 1 for targets in pixels.

    Args:
        form: of the outputs.
        boxes: of the outputs of a batch, in pixels if the form is right.
        targets: in pixels.

    Raises:
        ModelError: saying what to write.
    """
    ours, theirs = (float(np.nanmax(np.concatenate(several), initial=0)) for several in (boxes, targets))
    enough = sum(map(len, boxes)) >= _FEWEST_SHARES
    if enough and not form.normalized and 0 < ours <= NORMALISED_TO and theirs > 4 * NORMALISED_TO:
        form.refuse(
            f"{form.who} boxes from 0 to {ours:.2g}, and the targets are in pixels, up to {theirs:g}. For "
            "shares of the image's sides write output_normalized=True"
        )


def check_pixels(form: Form, boxes: Sequence[Array]) -> None:
    """Refuse targets that all lie in a single pixel.

    Raises:
        DataError: saying what to write.
    """
    together = np.concatenate([np.zeros((0, 4)), *boxes])
    if len(together) and not form.normalized and np.abs(together).max() <= 1:
        form.refuse(
            f"the targets have boxes from 0 to {together.max():.2g}, less than a pixel. For shares of the image's "
            "sides write normalized=True"
        )


def shown_box(box: Array) -> str:
    """Return the numbers of a box for a message."""
    return "[" + ", ".join(f"{float(number):.4g}" for number in box) + "]"


def image_size(image: Any) -> Size | None:
    """Return height and width of an image with channels first or last, or of a PIL image; None for other inputs."""
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) == 3:
        if shape[0] in _CHANNELS:
            return shape[1], shape[2]
        return (shape[0], shape[1]) if shape[2] in _CHANNELS else None
    size = getattr(image, "size", None)
    if not shape and isinstance(size, tuple) and len(size) == 2:
        return size[1], size[0]
    return None
