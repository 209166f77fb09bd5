"""`nonfinite_outputs` of language models: prompts after which the likelihoods of tokens are not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from text_tables import TableModel, TokenModel, evidence_of, generation
from torch import nn

from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.text import TextModel
from pytest_modelbench.results import Evidence

PROMPTS = ["one", "two", "three", "four"]
NAN, INFINITE = float("nan"), float("inf")


class Recorded(TokenModel):
    """A teacher of which there are recorded answers only."""

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Refuse."""
        raise NotApplicable("it needs the teacher itself")


def read(student: TextModel, teacher: TextModel | None = None, *limits: str) -> Evidence:
    """Return the evidence of the KPI on the prompts."""
    return evidence_of("nonfinite_outputs", *limits, student=student, teacher=teacher, data=TextData(PROMPTS))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [({}, 0), ({"two": NAN, "four": INFINITE}, 2), ({"two": -INFINITE}, 0)],
)
def test_prompts_are_counted(bad: Mapping[str, float], expected: int) -> None:
    """Minus infinity is right: the model rules a token out."""
    evidence = read(TokenModel("student", bad))
    assert evidence.student.value == expected
    assert evidence.worst_samples == ("1", "3")[:expected]
    assert not expected or evidence.notes == ("2 values after 2 of 4 prompts",)


def test_a_teacher_excuses_prompts() -> None:
    """Those after which it is not finite either; it is measured only where there is something to excuse."""
    student, teacher = TokenModel("student", {"one": NAN, "two": NAN}), TokenModel("teacher", {"two": NAN})
    evidence = read(student, teacher)
    assert evidence.student.value == 1
    assert "1 of them excused" in evidence.student.method
    compared = read(student, teacher, "difference <= 0")
    assert compared.teacher is not None
    assert compared.teacher.value == 1
    assert read(student, TableModel("teacher", {})).student.value == 2
    assert read(student, Recorded("teacher")).student.value == 2
    with pytest.raises(MeasurementError, match="compared nothing"):
        read(student, TokenModel("teacher", dict.fromkeys(PROMPTS, NAN)))


def test_texts_do_not_show_nan() -> None:
    """A function or a server that gives texts is an error, not zero."""
    with pytest.raises(MeasurementError, match="student is a table, which gives texts.*Judge empty_share"):
        read(TableModel("student", dict.fromkeys(PROMPTS, "!")))


class Tiny(nn.Module):
    """An embedding and two linear layers, of which the second overflows for a word with the letter t."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 4)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 128)
        with torch.no_grad():
            self.embedding.weight.fill_(0.1)
            self.embedding.weight[ord("t")] = 1e30
            self.first.weight.fill_(1.0)
            self.second.weight.fill_(1e30)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits for the last token."""
        return self.second(self.first(self.embedding(ids).sum(0)))  # type: ignore[no-any-return]


class TinyModel(TorchModel, TokenModel):
    """The module with characters as tokens."""

    kind = "tiny"

    def __init__(self) -> None:
        super().__init__(Tiny(), "student")

    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        """Run the module once for each prompt."""
        return lambda: [generation(str(self.forced(self.prompt_ids(prompt, settings), [0]))) for prompt in prompts]

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Generate."""
        return TextModel.bind(self, inputs)

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the same for each place."""
        with torch.no_grad():
            row = self.module(torch.tensor(list(before))).log_softmax(-1)
        return np.stack([row.numpy()] * len(ids))


def test_the_layer_where_it_begins_is_named() -> None:
    """The inputs of the second layer are finite for `two` and `three`, and its outputs are not."""
    evidence = read(TinyModel())
    assert evidence.worst_samples == ("1", "2")
    assert evidence.notes == (
        "256 values after 2 of 4 prompts",
        "first in layer second (Linear), whose inputs are finite",
    )
