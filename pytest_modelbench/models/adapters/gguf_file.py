"""GGUF files of llama.cpp, read by transformers: the packed weights are unpacked, and torch computes with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.causal_lm import LanguageModel
from pytest_modelbench.models.adapters.huggingface import refuse_random
from pytest_modelbench.models.adapters.saved_torch import FileModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading

_NEEDED = ("transformers", "gguf", "accelerate")


class GgufModel(FileModel, LanguageModel):
    """A language model out of a GGUF file. Its size is that of the file; its times are not those of llama.cpp."""

    def __init__(self, module: Any, tokenizer: Any, loading: Loading, path: Path) -> None:
        LanguageModel.__init__(self, module, tokenizer, loading.name, loading.device)
        self.loading, self.file, self.how = loading, path, "GGUF file"

    def replicate(self) -> Model | None:
        """Return a deep copy, or None where memory cannot hold one."""
        return LanguageModel.replicate(self)

    def describe(self) -> dict[str, Any]:
        """Return that torch computes with unpacked weights."""
        return {**super().describe(), "weights": f"unpacked by transformers to {self.dtype}"}


def load_gguf(path: str, loading: Loading) -> Model:
    """Load a GGUF file with its tokeniser.

    Raises:
        ModelError: a package is missing, transformers cannot read the file, or it lacks weights.
    """
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(
            f"{loading.name}: {path} is a GGUF file, which transformers reads with the packages gguf and accelerate; "
            f"missing: {', '.join(missing)}. Install: pip install {' '.join(_NEEDED)}"
        )
    import transformers

    file = Path(path)
    where = {"gguf_file": file.name, "local_files_only": True}
    try:
        auto: Any = transformers.AutoModelForCausalLM
        module, info = auto.from_pretrained(str(file.parent), output_loading_info=True, **where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(file.parent), **where)
    except Exception as error:  # readers raise what they meet in a damaged file
        raise ModelError(
            f"{loading.name}: {path} cannot be loaded by transformers as GGUF: {cause_of(error)}. Serve it with "
            "llama-server, and give openai://127.0.0.1:8080/v1#MODEL"
        ) from error
    refuse_random(info, type(module).__name__, path, loading)
    return GgufModel(module, tokenizer, loading, file)
