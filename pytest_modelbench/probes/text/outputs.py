"""Generated texts as outputs, for KPIs that ask only whether an answer changes."""

from __future__ import annotations

import numpy as np

from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.text.measured import Generations


def predictions_of(generations: Generations) -> Predictions:
    """Return answers as predictions: each text is a label of its own, and there are no targets."""
    n = len(generations)
    outputs = Outputs(
        model=generations.model,
        array=np.array(generations.texts, dtype=object),
        targets=None,
        ids=generations.ids,
        nonfinite=np.zeros(n, dtype=np.int32),
        input_finite=np.ones(n, dtype=bool),
        classes=None,
        calls=0,  # the generations are counted where they are taken
    )
    return Predictions(outputs=outputs, task="text", meaning="labels", labels=outputs.array, targets=None)
