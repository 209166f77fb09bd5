"""Adapter for fitted scikit-learn estimators and pipelines."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import PicklingError
from typing import Any

import joblib
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from pytest_modelbench.errors import MeasurementError, ModelError, cause_of
from pytest_modelbench.models.base import Artefact, Model
from pytest_modelbench.models.saved import Loading, refuse_pickle


class SklearnModel(Model):
    """A fitted estimator: `predict_proba` for classifiers that have it, `predict` for all others.

    Raises:
        ModelError: the estimator is not fitted, or has neither method.
    """

    kind = "sklearn"
    computes_here = True
    libraries = ("sklearn",)

    def __init__(self, estimator: Any, name: str, file: Path | None = None) -> None:
        super().__init__(name)
        self.file = file
        try:
            check_is_fitted(estimator)
        except NotFittedError as error:
            raise ModelError(f"{name} is a {type(estimator).__name__} that is not fitted yet") from error
        except TypeError as error:
            raise ModelError(f"{name} is a {type(estimator).__name__}, which is not an estimator: {error}") from error
        self.estimator = estimator
        self.method = (
            "predict_proba" if is_classifier(estimator) and hasattr(estimator, "predict_proba") else "predict"
        )
        if not hasattr(estimator, self.method):
            raise ModelError(f"{name} is a {type(estimator).__name__}, which has no method predict")
        classes = estimator.classes_ if is_classifier(estimator) else None
        self.heads = [list(labels) for labels in classes] if isinstance(classes, list) else []
        self.classes = list(classes) if classes is not None and not self.heads else None

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return the predicting method applied to the batch as it is; several outputs become a tuple of heads."""
        call = functools.partial(getattr(self.estimator, self.method), inputs)
        return (lambda: tuple(call())) if self.heads and self.method == "predict_proba" else call

    def classes_of(self, select: str | int | None) -> Sequence[Any] | None:
        """Return the classes of one output of several."""
        return self.heads[select] if self.heads and isinstance(select, int) else self.classes

    def replicate(self) -> Model:
        """Return a deep copy with everything that was fitted."""
        return SklearnModel(copy.deepcopy(self.estimator), self.name, self.file)

    def fingerprint(self) -> str:
        """Hash the estimator with everything that was fitted (`joblib.hash`); by identity if it cannot be pickled."""
        try:
            return f"sklearn:{joblib.hash(self.estimator)}"
        except (PicklingError, TypeError, AttributeError):
            return super().fingerprint()

    def weights_hash(self) -> str | None:
        """Hash the estimator with everything that was fitted, or return None."""
        fingerprint = self.fingerprint()
        return None if ":object-" in fingerprint else fingerprint

    def artefact(self) -> Artefact:
        """Return the size of the file it came from, or of the estimator as joblib dumps it, uncompressed."""
        if self.file is not None:
            return Artefact(size_bytes=self.file.stat().st_size, method=f"file {self.file.name}")
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


def load_skops(path: str, loading: Loading) -> Model:
    """Load an estimator that skops saved; types that skops does not trust by itself need pickles to be allowed.

    Raises:
        ModelError: skops is missing, cannot read the file, or finds types that are not trusted.
    """
    try:
        from skops import io
    except ImportError as error:
        raise ModelError(f"{loading.name}: {path} needs skops: pip install 'pytest-modelbench[skops]'") from error
    try:
        unknown = io.get_untrusted_types(file=path)
        if unknown:
            instead = "Return the estimator from your factory"
            refuse_pickle(
                path, f"a skops file with types that skops does not trust ({', '.join(unknown)})", loading, instead
            )
        estimator = io.load(path, trusted=unknown)
    except ModelError:
        raise
    except Exception as error:  # a damaged file raises whatever its readers meet
        raise ModelError(f"{loading.name}: {path} cannot be read by skops: {error}") from error
    return SklearnModel(estimator, loading.name, Path(path))


def load_pickle(path: str, loading: Loading) -> Model:
    """Load a pickled estimator, where that is allowed.

    Raises:
        ModelError: pickles are not allowed, or the file cannot be read.
    """
    refuse_pickle(path, "a pickle", loading, "Save the estimator by skops.io.dump")
    try:
        estimator = joblib.load(path)
    except Exception as error:  # unpickling runs foreign code
        raise ModelError(f"{loading.name}: {path} cannot be unpickled: {cause_of(error)}") from error
    return SklearnModel(estimator, loading.name, Path(path))
