"""What a contract holds of a teacher's distributions: its likeliest tokens at each place of stated texts."""

from __future__ import annotations

import numpy as np

from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text.distributions import cut, likeliest
from pytest_modelbench.probes.text.forcing import WHAT, stated_texts
from pytest_modelbench.probes.text.measured_likelihood import TopTokens
from pytest_modelbench.probes.text.windows import likelihood_model, log_probabilities


def take(taking: Taking) -> TopTokens:
    """Keep the `top_k` likeliest tokens of a model, here the teacher, at each token that students are compared at.

    Raises:
        NotApplicable: the model gives no likelihoods.
        DoesNotFit: the data have neither texts nor prompts.
        MeasurementError: there is no token.
        ModelError: the model raised.
    """
    teacher, data = likelihood_model(taking.model, WHAT), text_data(taking.data)
    stated = stated_texts(taking, data, teacher)
    ids, logs = [], []
    with teacher.running():
        for before, scored in (part for parts in stated.parts(teacher, data) for part in parts):
            rows = log_probabilities(teacher, before, scored)
            ids.append(likeliest(rows, int(taking.options["top_k"])))
            logs.append(cut(rows, ids[-1]))
            taking.beat()
    if not ids:
        raise MeasurementError("there is no token to record: the texts, or the teacher's answers, are empty")
    windows = stated.windows
    return TopTokens(
        model=teacher.name,
        vocabulary=teacher.vocabulary(),
        how=stated.how,
        ids=np.array([token for text in stated.ids for token in text], dtype=np.int32),
        sizes=np.array([len(text) for text in stated.ids], dtype=np.intp),
        likeliest=np.concatenate(ids),
        logs=np.concatenate(logs),
        size=windows.size if windows else None,
        stride=windows.stride if windows else 1,
        first=windows.first if windows else None,
        of_prompts=windows is None,
    )
