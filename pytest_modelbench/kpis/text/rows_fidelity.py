"""How near the student is to its teacher: token by token of stated texts, and in the answers of both."""

from __future__ import annotations

import math
from typing import Any

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import FORCING, GENERATIONS, ProbeKind

_TOKENS = {"window": None, "stride": None, "bos": True, "top_k": 32}
_FORCED = "both models on the tokens of texts=, else of the teacher's own answers"
_ANSWERS = "one greedy answer of each model to each prompt"


def _near(
    name: str,
    unit: str,
    better: str,
    definition: str,
    method: str,
    source: str,
    *,
    probe: ProbeKind[Any] = GENERATIONS,
    bounds: tuple[float, float] = NONNEGATIVE,
) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better=better,
        definition=definition,
        method=method,
        source=source,
        probe=probe,
        derive=f"{ROOM}.text.fidelity:{name}",
        bounds=bounds,
        options={**(_TOKENS if probe is FORCING else {}), "confidence": None},
        paired=True,
        alone=True,
    )


KPIS = (
    _near(
        "token_agreement", "%", "higher", "share of tokens of stated texts for which student and teacher find the "
        "same token the likeliest", f"{_FORCED}; bootstrap by document or group",
        "llama.cpp, tools/perplexity, --kl-divergence (same top token)", probe=FORCING, bounds=SHARE,
    ),
    _near(
        "token_kl", "nat", "lower", "mean over the tokens of stated texts of the divergence of the student's "
        "distribution over the vocabulary from the teacher's", f"{_FORCED}; bootstrap by document or group",
        "Kullback and Leibler, Annals of Mathematical Statistics 22:79 (1951)", probe=FORCING,
    ),
    _near(
        "token_kl_p99", "nat", "lower", "99th percentile over the tokens of stated texts of the divergence of the "
        "student's distribution over the vocabulary from the teacher's", f"{_FORCED}; Woodruff interval, effective "
        "sample size by document or group", "Woodruff, JASA 47:635 (1952)", probe=FORCING,
    ),
    _near(
        "greedy_agreement", "%", "higher", "share of prompts that student and teacher answer with the same text",
        f"{_ANSWERS}; Wilson interval by prompt or group", "Stanton et al., Does Knowledge Distillation Really "
        "Work? (2021)", bounds=SHARE,
    ),
    _near(
        "first_divergence", "", "higher", "median number of tokens after which the student's answer leaves the "
        "teacher's (characters where their tokenisers differ); equal answers count with their length",
        f"{_ANSWERS}; Woodruff interval by prompt or group", "Woodruff, JASA 47:635 (1952)", bounds=(0.0, math.inf),
    ),
    _near(
        "generation_similarity", "", "higher", "mean over prompts of chrF of the student's answer, with the "
        "teacher's as its reference; 0 to 100", f"{_ANSWERS}; sacrebleu's chrF, bootstrap by prompt or group",
        "Popović, chrF, WMT 2015, doi.org/10.18653/v1/W15-3049", bounds=(0.0, 100.0),
    ),
)  # fmt: skip
