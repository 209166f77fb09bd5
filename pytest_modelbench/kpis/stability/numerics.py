"""Readings of numerical stability: what answers depend on, and how close numbers come to their type's ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_modelbench.data.groups import combinations
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.evidence import compared_shares, exact_evidence, refuse_nonfinite
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.intervals import share_interval

if TYPE_CHECKING:
    from pytest_modelbench.probes.answers.layers import LayerRange
    from pytest_modelbench.probes.answers.stability import Variant

SHOWN = 3


def determinism(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the samples whose output changes in any bit from one run to the next."""

    def reading(role: str) -> Reading:
        n, changed = len(measurements.outputs(role)), measurements.changed_samples(role)
        method = f"two passes over {n:,} samples, outputs compared bit by bit"
        return Reading(estimate=Estimate.exact(float(len(changed))), unit="", n=n, method=method)

    worst = shown_ids(measurements.outputs("student").ids, measurements.changed_samples("student"))
    yield replace(exact_evidence(question, reading), worst_samples=worst)


def variants(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples whose label changes in the worst of several other ways to ask for it.

    Raises:
        MeasurementError: the outputs are not finite in the first place.
    """

    def reading(role: str) -> Reading:
        refuse_nonfinite(question, measurements.predictions(role))
        variants = measurements.variants(role)
        worst = _worst(variants)
        count, n = int(worst.changed.sum()), len(worst.changed)
        counts = ", ".join(f"{variant.name} {int(variant.changed.sum())}" for variant in variants)
        return Reading(
            estimate=share_interval(count, n, question.alpha).map(lambda share: 100 * share),
            unit="pp",
            n=n,
            confidence=question.confidence,
            method=f"worst variant: {worst.name}, {count} of {n} samples, Wilson interval; changed with {counts}",
        )

    evidence, variants = exact_evidence(question, reading), measurements.variants("student")
    comparison = evidence.comparison
    if comparison is not None:
        theirs = _worst(measurements.variants("teacher")).changed
        comparison = compared_shares(question, combinations(_worst(variants).changed, theirs))
    yield replace(
        evidence,
        comparison=comparison,
        sampled=question.asked,
        worst_samples=shown_ids(measurements.outputs("student").ids, np.flatnonzero(_worst(variants).changed)),
        breakdown=tuple(_row(variant) for variant in variants),
    )


def _worst(variants: Sequence[Variant]) -> Variant:
    return max(variants, key=lambda variant: int(variant.changed.sum()))


def _row(variant: Variant) -> dict[str, object]:
    n = len(variant.changed)
    changed = int(variant.changed.sum())
    return {"name": variant.name, "n": n, "value": 100 * changed / n, "largest_difference": variant.furthest}


def shapes(_question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the batch sizes for which outputs do not have the shape that they should have."""
    mismatches = measurements.shape_mismatches()
    method = "outputs for batches of 1, 2, 7 and more samples, against the batch and the teacher's outputs"
    reading = Reading(estimate=Estimate.exact(float(len(mismatches))), unit="", method=method)
    yield Evidence(student=reading, notes=tuple(mismatches[:SHOWN]))


def headroom(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how many times the largest activation could double before it overflows a target type."""
    from pytest_modelbench.probes.answers.layers import headroom_bits

    dtype = str(question.options["dtype"])

    def bits(layer: LayerRange) -> float:
        return headroom_bits(layer.highest, dtype)

    def reading(role: str) -> Reading:
        layers = measurements.layer_ranges(role)
        bad = next((layer.name for layer in layers if not math.isfinite(layer.highest)), None)
        if bad is not None:
            raise MeasurementError(f"layer {bad} of the {role} gives NaN or infinite numbers: there is no headroom")
        worst = min(layers, key=bits)
        method = f"layer {worst.name} reaches {worst.highest:.4g}; {len(layers)} layers, target type {dtype}"
        return Reading(estimate=Estimate.exact(bits(worst)), unit="bits", n=len(layers), method=method)

    evidence = exact_evidence(question, reading)
    layers = sorted(measurements.layer_ranges("student"), key=bits)
    rows = [
        {"name": layer.name, "value": bits(layer), "highest": layer.highest, **_subnormal(layer)} for layer in layers
    ]
    shown = ", ".join(f"{layer.name} {bits(layer):.1f} bits" for layer in layers[:SHOWN])
    yield _with(evidence, rows, f"least headroom for {dtype}: {shown}")


def denormal_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest share of a layer's activations that are subnormal in a target type."""
    dtype = str(question.options["dtype"])

    def share(layer: LayerRange) -> float:
        return 100 * layer.subnormal / layer.elements if layer.elements else 0.0

    def reading(role: str) -> Reading:
        worst = max(measurements.layer_ranges(role), key=share)
        method = f"layer {worst.name}, {worst.subnormal:,} of {worst.elements:,} numbers, target type {dtype}"
        return Reading(estimate=Estimate.exact(share(worst)), unit="%", n=worst.elements, method=method)

    evidence = exact_evidence(question, reading)
    layers = sorted(measurements.layer_ranges("student"), key=lambda layer: -share(layer))
    rows = [{"name": layer.name, "value": share(layer), **_subnormal(layer)} for layer in layers]
    shown = ", ".join(f"{layer.name} {share(layer):.3g}%" for layer in layers[:SHOWN])
    yield _with(evidence, rows, f"most subnormal numbers in {dtype}: {shown}")


def _subnormal(layer: LayerRange) -> dict[str, object]:
    return {"n": layer.elements, "subnormal": layer.subnormal}


def sqnr(_question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the signal-to-noise ratio of the layer that compression changed most."""
    ratios = measurements.signal_to_noise()
    order = sorted(ratios, key=lambda name: ratios[name])
    worst = order[0]
    method = f"layer {worst}; {len(ratios)} layers of one name and shape, over one batch"
    reading = Reading(estimate=Estimate.exact(ratios[worst]), unit="dB", n=len(ratios), method=method)
    shown = ", ".join(f"{name} {ratios[name]:.1f} dB" for name in order[:SHOWN])
    rows: Sequence[dict[str, object]] = [{"name": name, "value": ratios[name]} for name in order]
    yield _with(Evidence(student=reading), rows, f"most noise: {shown}")


def _with(evidence: Evidence, rows: Sequence[dict[str, object]], note: str) -> Evidence:
    return replace(evidence, breakdown=tuple(rows), notes=(note,))
