"""Carbon intensity of the grid: as stated, or a country's yearly mean from CodeCarbon's own data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.errors import UsageMistake


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Grams of CO2 equivalents for a kilowatt-hour, and where the number comes from."""

    g_per_kwh: float
    source: str


def grid(country: str | None, g_per_kwh: float | None) -> Grid:
    """Return the intensity that the options state.

    Args:
        country: ISO 3166-1 alpha-3, such as DEU.
        g_per_kwh: the user's number, which overrides the country's.

    Raises:
        UsageMistake: neither is stated, or the country is unknown.
    """
    if g_per_kwh is not None:
        return Grid(g_per_kwh=g_per_kwh, source=f"--modelbench-grid-intensity, {g_per_kwh:g} g/kWh")
    if country is None:
        raise UsageMistake(
            "carbon needs to know the grid. Write --modelbench-country=DEU (ISO 3166-1 alpha-3), or "
            "--modelbench-grid-intensity=380 (g CO2e/kWh), on the command line or in the ini file"
        )
    countries = _energy_mix()
    mix = countries.get(country.upper())
    if mix is None:
        near = difflib.get_close_matches(country.upper(), countries, n=3, cutoff=0.5)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise UsageMistake(
            f"--modelbench-country: found {country!r}, expected an ISO 3166-1 alpha-3 code that CodeCarbon knows, "
            f"such as DEU{nearest}. Or write --modelbench-grid-intensity=380 (g CO2e/kWh)"
        )
    intensity = float(mix["carbon_intensity"])
    return Grid(
        g_per_kwh=intensity,
        source=f"{mix['country_name']} {mix['year']}, {intensity:g} g/kWh by CodeCarbon's data",
    )


def _energy_mix() -> dict[str, Any]:
    from codecarbon.input import DataSource

    mix: dict[str, Any] = DataSource().get_global_energy_mix_data()  # type: ignore[no-untyped-call]
    return mix
