"""A model's outputs for samples that are out of distribution."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.data.outside import sets_outside
from pytest_modelbench.probes.answers.predictions import Outputs, collect_outputs
from pytest_modelbench.probes.kinds import Taking


def take(taking: Taking) -> Mapping[str, Outputs]:
    """Return a model's outputs for each set that `ood` names.

    Args:
        taking: the model, the data, and `ood` among the options.

    Raises:
        DataError: there is no such set, or it does not fit the data.
        ModelError: the model raised.
    """
    assert taking.data is not None  # noqa: S101 - the kind needs data
    sets = sets_outside(taking.data, taking.options["ood"], taking.seed)
    return {name: collect_outputs(taking.model, outside) for name, outside in sets.items()}
