"""Language models whose weights came out of a file beside a factory that makes `(module, tokenizer)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_modelbench.models.adapters.causal_lm import LanguageModel
from pytest_modelbench.models.adapters.saved_torch import FileModel, load_weights
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading


class FilledLanguageModel(FileModel, LanguageModel):
    """A language model of the user's code with the weights of a file: the code is part of its content."""

    def __init__(self, module: Any, tokenizer: Any, loading: Loading, path: Path) -> None:
        LanguageModel.__init__(self, module, tokenizer, loading.name, loading.device)
        self.loading, self.file, self.how = loading, path, "weights in"

    def fingerprint(self) -> str:
        """Hash the module and the tokeniser, not only the file."""
        return LanguageModel.fingerprint(self)

    def replicate(self) -> Model | None:
        """Return a deep copy, or None where memory cannot hold one."""
        return LanguageModel.replicate(self)


def load_paired(made: tuple[Any, Any], path: Path, loading: Loading) -> Model:
    """Fill the module of a pair from a file.

    Raises:
        ModelError: as for `load_weights`, and for `LanguageModel`.
    """
    filled: Any = load_weights(made[0], path, loading)
    return FilledLanguageModel(filled.module, made[1], loading, path)
