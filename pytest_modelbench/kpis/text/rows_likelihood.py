"""How likely a model finds documents, and the right one of several choices."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import CHOICES, LIKELIHOODS

_WINDOWS: Mapping[str, object] = {"window": None, "stride": None, "bos": True, "confidence": None}
_CHOSEN: Mapping[str, object] = {"length_norm": "none", "confidence": None}


def _of_texts(name: str, unit: str, definition: str, source: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better="lower",
        definition=definition,
        method="every token of texts= scored once, in windows of window= tokens that begin stride= tokens apart; "
        "paired bootstrap by document or group",
        source=source,
        probe=LIKELIHOODS,
        derive=f"{ROOM}.text.likelihood:{name}",
        options=_WINDOWS,
    )


KPIS = (
    _of_texts(
        "perplexity", "", "exponential of the mean negative log-likelihood of a token, over all tokens of texts= "
        "together", "Jelinek et al., JASA 62:S63 (1977); huggingface.co/docs/transformers/perplexity",
    ),
    _of_texts(
        "bits_per_byte", "bit", "negative log-likelihood of texts= in bits for each byte of UTF-8, which models of "
        "any tokeniser share", "Gao et al., The Pile, arXiv 2101.00027 (2020), section 3.1",
    ),
    Kpi(
        name="choice_accuracy",
        pillar="quality",
        unit="%",
        better="higher",
        definition="share of prompts after which the right one of choices= is the likeliest, divided by its length "
        "as length_norm= says",
        method="log-likelihood of each choice after its prompt; Wilson interval, Tango's for the difference, by "
        "prompt or group",
        source="Brown et al., arXiv 2005.14165 (2020), section 2.4",
        probe=CHOICES,
        derive=f"{ROOM}.text.choices:choice_accuracy",
        bounds=SHARE,
        options=_CHOSEN,
    ),
    Kpi(
        name="choice_flips",
        pillar="quality",
        unit="%",
        better="lower",
        definition="share of prompts after which student and teacher find different choices the likeliest",
        method="log-likelihood of each choice after its prompt; Wilson interval by prompt or group",
        source="Dutta et al., arXiv 2407.09141 (2024)",
        probe=CHOICES,
        derive=f"{ROOM}.text.choices:choice_flips",
        bounds=SHARE,
        options=_CHOSEN,
        paired=True,
        alone=True,
    ),
)  # fmt: skip
