"""Corruptions by name: what each does, which inputs it is for, and how users add their own.

Standard library only: names are checked at collection, before any data is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from pytest_modelbench.errors import UsageMistake, shown

Function = TypeVar("Function", bound=Callable[..., Any])
_TAG = "_modelbench_corruption"
SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Info:
    """A built-in corruption: its family, what it does, and the version of its definition, which is in its streams."""

    family: str
    what: str
    version: int = 1


BUILT_IN: Mapping[str, Info] = {
    "gaussian_noise": Info("images", "normal noise on every value"),
    "shot_noise": Info("images", "Poisson noise of few photons"),
    "impulse_noise": Info("images", "values that become the least or the greatest one"),
    "speckle_noise": Info("images", "normal noise in proportion to the value"),
    "gaussian_blur": Info("images", "a Gaussian filter"),
    "defocus_blur": Info("images", "a disk filter"),
    "motion_blur": Info("images", "a one-sided Gaussian filter along a random direction"),
    "zoom_blur": Info("images", "the mean of enlarged copies"),
    "fog": Info("images", "a fractal haze"),
    "brightness": Info("images", "a larger value in HSV"),
    "contrast": Info("images", "values nearer to their mean"),
    "saturate": Info("images", "another saturation in HSV, for images in colour"),
    "pixelate": Info("images", "the mean of each block"),
    "glass_blur": Info("images", "pixels that take the value of others nearby"),
    "elastic_transform": Info("images", "a smooth random distortion"),
    "snow": Info("images", "flakes that fall, and a whiter image"),
    "frost": Info("images", "a made texture of frost, not the published photographs"),
    "jpeg_compression": Info("images", "what JPEG loses at a low quality"),
    "spatter": Info("images", "drops of water, from severity 4 on of mud"),
    "column_noise": Info("tabular", "normal noise in standard deviations of the column"),
    "missing_cells": Info("tabular", "cells without a value"),
    "shuffled_cells": Info("tabular", "numbers of other rows"),
    "swapped_categories": Info("tabular", "categories of other rows"),
    "unit_slip": Info("tabular", "one number of each row in another unit"),
    "coarse_cells": Info("tabular", "numbers rounded to a few levels"),
    "shifted_time": Info("tabular", "dates earlier or later"),
    "keyboard_typos": Info("text", "letters replaced by their neighbours on a QWERTY keyboard"),
    "swapped_letters": Info("text", "letters that change places with the next one"),
    "dropped_letters": Info("text", "characters left out"),
    "random_case": Info("text", "letters in the other case"),
    "whitespace": Info("text", "spaces left out or added"),
    "lookalikes": Info("text", "letters replaced by others that look alike in Unicode"),
    "truncation": Info("text", "the last words left out"),
    "series_noise": Info("series", "normal noise in standard deviations of the series"),
    "clipping": Info("series", "values cut off at a quantile of their magnitude"),
    "dropout": Info("series", "stretches that are 0"),
    "jitter": Info("series", "values read too early or too late"),
    "resampling": Info("series", "fewer values, interpolated"),
}
EXTENSIONS: dict[str, Callable[..., Any]] = {}
"""Corruptions that others bring to a session, for all its tests."""
FAMILIES = tuple(dict.fromkeys(info.family for info in BUILT_IN.values()))
AUTO = "auto"
EXPECTED = (
    f"'{AUTO}', {', '.join(map(repr, FAMILIES))}, the name of a corruption, 'module:function', or a list of these"
)


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption: built-in where it has no function of the user's.

    A custom function takes one sample as the data have it, the severity from 1 to 5 and a random generator of this
    sample's own, and returns the sample in the same shape and type.
    """

    name: str
    function: Callable[..., Any] | None = field(default=None, repr=False)
    optional: bool = field(default=False, repr=False, compare=False)
    """Whether a family named it, which leaves out what does not fit the inputs."""

    def __str__(self) -> str:
        return self.name

    @property
    def family(self) -> str:
        """The family of a built-in one, "" for a custom one."""
        return BUILT_IN[self.name].family if self.function is None else ""

    @property
    def stream(self) -> str:
        """What its random numbers depend on."""
        return f"{self.name}/{BUILT_IN[self.name].version}" if self.function is None else self.name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A corruption at one severity, with one seed: every model gets the same inputs for it."""

    corruption: Corruption
    severity: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.corruption}:{self.severity}"


def register_corruption(name: object) -> Callable[[Function], Function]:
    """Add a custom corruption, in a conftest.py or a test module, for the tests below it.

    The function gets one sample, a severity from 1 to 5 and a random generator, and returns the corrupted sample:

        @register_corruption("rain")
        def rain(image, severity, rng):
            drops = rng.random(image.shape) < 0.01 * severity
            return np.where(drops, 1.0, image).astype(image.dtype)

    Raises:
        UsageMistake: the name is taken by a built-in corruption, or is not a name.
    """
    if not isinstance(name, str) or not name.strip() or ":" in name:
        raise UsageMistake(f"register_corruption({shown(name)}): expected a name. Write @register_corruption('rain')")
    if name in BUILT_IN or name in FAMILIES or name == AUTO:
        raise UsageMistake(f"register_corruption({name!r}): there is a built-in corruption of this name")
    named = str(name)

    def tag(function: Function) -> Function:
        setattr(function, _TAG, named)
        return function

    return tag


def registered_in(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the corruptions that a module's functions were registered as, in their order.

    Raises:
        UsageMistake: two functions have one name.
    """
    corruptions: dict[str, Callable[..., Any]] = {}
    for value in list(vars(module).values()):
        if type(value).__name__ != "function" or not hasattr(value, _TAG):
            continue
        name = getattr(value, _TAG)
        if corruptions.setdefault(name, value) is not value:
            raise UsageMistake(f"two functions of {module.__name__} are registered as corruption {name!r}")
    return corruptions


def are_corruptions(value: object) -> bool:
    """Whether a value has the form of `corruptions=`; names are looked up later, where custom ones are known."""
    several = value if isinstance(value, list | tuple) else (value,)
    return bool(several) and all((isinstance(one, str) and bool(one.strip())) or callable(one) for one in several)


def find(
    value: Any, registered: Mapping[str, Callable[..., Any]], locate: Callable[[str], Callable[..., Any]]
) -> str | tuple[Corruption, ...]:
    """Return what `corruptions=` names: corruptions, or `auto` and a family as they are, for the data decide.

    Args:
        value: of the option.
        registered: custom corruptions by name.
        locate: imports 'module:function'.

    Raises:
        UsageMistake: an unknown name, or one that is there twice.
    """
    if isinstance(value, str) and (value == AUTO or value in FAMILIES):
        return value
    several = value if isinstance(value, list | tuple) else (value,)
    corruptions: list[Corruption] = []
    for one in several:
        if isinstance(one, str) and one in FAMILIES:
            corruptions += of_family(one)
        else:
            corruptions.append(_one(one, registered, locate))
    names = [corruption.name for corruption in corruptions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageMistake(f"corruptions= names {twice!r} twice")
    return tuple(corruptions)


def of_family(family: str) -> tuple[Corruption, ...]:
    """Return all corruptions of a family."""
    return tuple(Corruption(name=name, optional=True) for name, info in BUILT_IN.items() if info.family == family)


def _one(
    value: Any, registered: Mapping[str, Callable[..., Any]], locate: Callable[[str], Callable[..., Any]]
) -> Corruption:
    if isinstance(value, Corruption):
        return value
    if callable(value):
        return Corruption(name=getattr(value, _TAG, getattr(value, "__name__", type(value).__name__)), function=value)
    if value in BUILT_IN:
        return Corruption(name=value)
    if value in registered:
        return Corruption(name=value, function=registered[value])
    if ":" in value:
        return Corruption(name=value, function=locate(value))
    known = [*BUILT_IN, *registered]
    near = difflib.get_close_matches(value, [*known, *FAMILIES, AUTO], n=1)
    nearest = f"; did you mean {near[0]!r}?" if near else "."
    raise UsageMistake(f"there is no corruption {value!r}{nearest} Known are {', '.join(known)}")


def cell_of(
    text: str,
    registered: Mapping[str, Callable[..., Any]],
    locate: Callable[[str], Callable[..., Any]],
    what: str = "",
) -> Cell:
    """Read a corruption and its severity, such as 'gaussian_noise:3'.

    Args:
        text: as written.
        registered: custom corruptions by name.
        locate: imports 'module:function'.
        what: where it is written, for messages, such as "under=".

    Raises:
        UsageMistake: no severity from 1 to 5, or no such corruption.
    """
    name, _, severity = text.rpartition(":")
    if not name or severity not in map(str, SEVERITIES):
        raise UsageMistake(
            f"{what}{text!r}: expected a corruption and its severity from 1 to 5. Write {what}'gaussian_noise:3'"
        )
    try:
        return Cell(corruption=_one(name, registered, locate), severity=int(severity))
    except UsageMistake as mistake:
        raise UsageMistake(f"{what}{text!r}: {mistake}" if what else str(mistake)) from mistake


def cost_of(options: Mapping[str, Any]) -> str:
    """Say how many samples a gate's corruptions come to, as far as that is known before the data are read."""
    named, severities, seeds = options["corruptions"], len(options["severities"]), int(options["seeds"])
    if isinstance(named, str):
        families = FAMILIES if named == AUTO else (named,)
        count = max(sum(info.family == family for info in BUILT_IN.values()) for family in families)
        told = f"up to {count}"
    else:
        count = len(named)
        told = str(count)
    samples, cells = int(options["samples"]), count * severities * seeds
    more = f" x {seeds} seeds" if seeds > 1 else ""
    return (
        f"{told} corruptions x {severities} severities{more} x {samples:,} samples: "
        f"{'up to ' if isinstance(named, str) else ''}{cells * samples:,} samples for each model"
    )


def cells_of(corruptions: Sequence[Corruption], severities: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """Return every corruption at every severity with every seed, in this order."""
    return [
        Cell(corruption=corruption, severity=severity, seed=seed)
        for corruption in corruptions
        for severity in severities
        for seed in seeds
    ]
