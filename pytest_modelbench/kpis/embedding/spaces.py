"""How alike the spaces of student and teacher are: common neighbours, kernel alignment, cosine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.embedding.left_out import by_group, left_out, widened_evidence
from pytest_modelbench.kpis.embedding.neighbours import drawn_queries, nearest, overlap_of
from pytest_modelbench.kpis.embedding.read import Embeddings, Part, embeddings, same_width
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray
from pytest_modelbench.stats.jackknife import jackknife

FOLDS = 100
"""The most parts of the samples that are left out in turn for `cka`."""
ROLES = ("student", "teacher")


def neighbour_overlap(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean share of the student's k nearest neighbours that are the teacher's, too.

    Raises:
        MeasurementError: there are fewer than k + 2 samples.
    """
    read, k = embeddings(question, measurements, both=True), int(question.options["k"])
    n = len(read)
    if k + 2 > n:
        raise MeasurementError(f"{question.kpi.name}: k={k} needs at least {k + 2} samples, and there are {n}")
    everything = np.arange(n)
    queries = drawn_queries(everything, n, question.seed)
    first, second = (nearest(read, role, queries, everything, k + 1) for role in ROLES)
    shares, by, members, changes = overlap_of(first, second, k)
    changed = by_group(read.groups, members, queries[by], changes)
    left = left_out(read.groups, queries, shares, changed, np.zeros(len(changed)))
    drawn = f"{len(queries):,} samples" + (f" drawn of {n:,}" if len(queries) < n else "")
    evidence = pooled_evidence(
        question,
        Part(read.data, queries),
        {"student": Tallied(parts=shares, wholes=np.ones(len(shares)))},
        f"the {k} nearest of {drawn} by {read.data.metric}",
        nothing="no sample",
    )
    evidence = widened_evidence(evidence, {"student": left})
    yield replace(
        evidence,
        notes=(*evidence.notes, f"unrelated models have {100 * k / (n - 1):.2g}%"),
        worst_samples=read.answers.worst(queries[_lowest(shares)]),
    )


def _lowest(values: FloatArray) -> IntArray:
    order: IntArray = np.argsort(values, kind="stable")
    return order[values[order] < 1]


def embedding_cosine(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean cosine of the student's vector and the teacher's of the same sample.

    Raises:
        DoesNotFit: vectors of different lengths.
        MeasurementError: a vector of zeros has no cosine.
    """
    read = embeddings(question, measurements, both=True)
    same_width(read, question.kpi.name)
    a, b = (read.vectors[role].astype(np.float64) for role in ROLES)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not lengths.all():
        ids = ", ".join(read.answers.worst(np.flatnonzero(lengths == 0))[:3])
        raise MeasurementError(f"{question.kpi.name} is undefined for vectors of zeros, of the samples {ids}")
    cosines = np.einsum("nd,nd->n", a, b) / lengths
    sums = {"student": np.stack([cosines, np.ones(len(cosines))], axis=1)}
    evidence = jackknife_evidence(
        question, read.data, sums, lambda total: total[..., 0] / total[..., 1], f"mean over {len(cosines):,} samples"
    )
    yield replace(evidence, worst_samples=read.answers.worst(_lowest(cosines)))


def cka(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read linear centred kernel alignment, without its bias.

    Raises:
        MeasurementError: a space whose vectors do not vary by more than the bias.
    """
    read = embeddings(question, measurements, both=True)
    x, y = (_centred(read, role) for role in ROLES)
    parts = _parts(read, question.seed)
    whole, left = aligned(x, y, parts)
    if math.isnan(whole) or not np.isfinite(left).all():
        raise MeasurementError(f"{question.kpi.name} is undefined: vectors of a model do not vary beyond chance")
    yield Evidence(
        student=Reading(
            estimate=jackknife(whole, left, question.alpha),
            unit="",
            n=len(read),
            confidence=question.confidence,
            method=f"debiased linear CKA of {len(read):,} samples; jackknife of {len(left)} parts of them",
        ),
        sampled=question.asked,
    )


def _centred(read: Embeddings, role: str) -> FloatArray:
    vectors = read.answers.answers[role].answers["vector"].values.astype(np.float64)
    centred: FloatArray = vectors - vectors.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=1).mean())
    return centred


def _parts(read: Embeddings, seed: int) -> list[IntArray]:
    """Return samples in parts of whole groups, drawn at random; none of more than an eighth of the samples or so."""
    groups = read.groups
    count = int(groups.max()) + 1
    of_group = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
    return [np.flatnonzero(of_group[groups] == part) for part in range(min(FOLDS, count))]


def aligned(x: FloatArray, y: FloatArray, parts: list[IntArray]) -> tuple[float, FloatArray]:
    """Return the alignment of all samples, and without each part, (parts,).

    Args:
        x: (n, d).
        y: (n, e).
        parts: positions of samples.

    Source: Kornblith et al. (2019); the unbiased estimate of Song et al. (2012), as Nguyen et al. (2021) use it.
    """
    left, whole = np.zeros((3, len(parts))), np.zeros((3, 1))
    for i, (a, b) in enumerate(((x, y), (x, x), (y, y))):
        total = _sums(a, b)
        whole[i] = _independence(total)
        left[i] = [
            _independence([one - its for one, its in zip(total, _sums(a[part], b[part]), strict=True)])
            for part in parts
        ]
    return float(_ratio(whole)[0]), _ratio(left)


def _ratio(sums: FloatArray) -> FloatArray:
    defined = (sums[1] > 1e-12) & (sums[2] > 1e-12)
    ratio: FloatArray = np.where(defined, sums[0] / np.sqrt(np.where(defined, sums[1] * sums[2], 1.0)), np.nan)
    return ratio


def _sums(a: FloatArray, b: FloatArray) -> list[Any]:
    """Return sums over samples that the unbiased HSIC of linear kernels follows from, without all pairs."""
    own, other = (a**2).sum(axis=1), (b**2).sum(axis=1)
    return [
        a.T @ b,
        a.T @ other,
        b.T @ own,
        own @ other,
        a.sum(axis=0),
        b.sum(axis=0),
        own.sum(),
        other.sum(),
        len(a),
    ]


def _independence(sums: list[Any]) -> float:
    """Return the unbiased HSIC from sums over samples."""
    product, of_other, of_own, both, first, second, own, other, n = sums
    rows = first @ product @ second - first @ of_other - second @ of_own + both
    means = (first @ first - own) * (second @ second - other) / ((n - 1) * (n - 2))
    return float(((product**2).sum() - both + means - 2 / (n - 2) * rows) / (n * (n - 3)))
