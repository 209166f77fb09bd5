"""Adapter for fitted scikit-learn estimators and pipelines."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from pickle import PicklingError
from typing import Any

import joblib
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.models.base import Artefact, Model


class SklearnModel(Model):
    """A fitted estimator: `predict_proba` for classifiers that have it, `predict` for all others.

    Raises:
        ModelError: the estimator is not fitted, or has neither method.
    """

    kind = "sklearn"

    def __init__(self, estimator: Any, name: str) -> None:
        super().__init__(name)
        try:
            check_is_fitted(estimator)
        except NotFittedError as error:
            raise ModelError(f"{name} is a {type(estimator).__name__} that is not fitted yet") from error
        except TypeError as error:
            raise ModelError(f"{name} is a {type(estimator).__name__}, which is no estimator: {error}") from error
        self.estimator = estimator
        self.method = (
            "predict_proba" if is_classifier(estimator) and hasattr(estimator, "predict_proba") else "predict"
        )
        if not hasattr(estimator, self.method):
            raise ModelError(f"{name} is a {type(estimator).__name__}, which has no method predict")
        if is_classifier(estimator):
            self.classes = list(estimator.classes_)

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return the predicting method applied to the batch as it is."""
        return functools.partial(getattr(self.estimator, self.method), inputs)

    def replicate(self) -> Model:
        """Return a deep copy with everything that was fitted."""
        return SklearnModel(copy.deepcopy(self.estimator), self.name)

    def fingerprint(self) -> str:
        """Hash the estimator with everything that was fitted (`joblib.hash`); by identity if it cannot be pickled."""
        try:
            return f"sklearn:{joblib.hash(self.estimator)}"
        except (PicklingError, TypeError, AttributeError):
            return super().fingerprint()

    def artefact(self) -> Artefact:
        """Return the size of the estimator as joblib dumps it, uncompressed."""
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
            path = Path(folder) / "model.joblib"
            try:
                joblib.dump(self.estimator, path)
            except (PicklingError, TypeError, AttributeError) as error:
                raise MeasurementError(f"{self.name} cannot be saved by joblib: {error}") from error
            return Artefact(size_bytes=path.stat().st_size, method="estimator as joblib.dump writes it")

    def describe(self) -> dict[str, Any]:
        """Return the estimator's class and the method that predicts."""
        return {**super().describe(), "class": type(self.estimator).__qualname__, "method": self.method}
