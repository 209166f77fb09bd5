"""How likely a model finds each document of `texts=`: sums, so that no log-probabilities are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text.measured_likelihood import Likelihoods
from pytest_modelbench.probes.text.windows import (
    Windows,
    likelihood_model,
    log_probabilities,
    picked,
    windows_for,
)


@dataclass
class _Sums:
    """What a document comes to."""

    nats: float = 0.0
    tokens: int = 0
    utf8_bytes: int = 0
    altered: bool = False


def take(taking: Taking) -> Likelihoods:
    """Score every token of every document once.

    Raises:
        DoesNotFit: the data have no texts.
        NotApplicable: the model gives no likelihoods.
        MeasurementError: window and stride do not fit the model.
        ModelError: the model raised.
    """
    texts = text_data(taking.data).texts
    if texts is None:
        raise DoesNotFit("it needs documents, and the evaluation data have none. Write EvalData(texts=[...])")
    model = likelihood_model(taking.model, "the likelihood of texts", of_texts=True)
    windows = windows_for(model, taking.options, model.context)
    with model.running():
        documents = [_document(taking, model, windows, text) for text in texts]
    return Likelihoods(
        model=model.name,
        vocabulary=model.vocabulary(),
        how=windows.told,
        nats=np.array([document.nats for document in documents]),
        tokens=np.array([document.tokens for document in documents], dtype=np.intp),
        utf8_bytes=np.array([document.utf8_bytes for document in documents], dtype=np.intp),
        window=windows.size or 0,
        altered=sum(document.altered for document in documents),
    )


def _document(taking: Taking, model: LikelihoodModel, windows: Windows, text: str) -> _Sums:
    ids, sums = model.text_ids(text), _Sums()
    for before, scored in windows.parts(ids):
        sums.nats -= picked(log_probabilities(model, before, scored), scored)
        sums.tokens += len(scored)
        taking.beat()
    sums.utf8_bytes = _bytes(text) if sums.tokens else 0
    if windows.first is None:
        sums.utf8_bytes = max(sums.utf8_bytes - _bytes(model.text_of(ids[:1])), 0)
    sums.altered = _letters(model.text_of(ids)) != _letters(text)
    return sums


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _letters(text: str) -> str:
    """Return a text without its white space, some of which tokenisers add and take."""
    return "".join(text.split())
