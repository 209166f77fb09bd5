"""The reliability pillar: whether the student can be trusted to answer at all."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import Kpi

KPIS = (
    Kpi(
        name="nonfinite_outputs",
        pillar="reliability",
        unit="",
        better="lower",
        definition="NaN and infinite values in the outputs over the evaluation data, where the input is finite and "
        "the teacher's output is finite",
        method="one forward pass over the evaluation data; the teacher is asked only when there are any",
        source="IEEE 754",
        probe="outputs",
        derive="derive_reliability:nonfinite_outputs",
    ),
)
