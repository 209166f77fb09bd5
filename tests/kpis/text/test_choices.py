"""Multiple choice: what is scored, by which length it is divided, and which choices flip."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from likely_models import FIRST, LETTERS, TableModel, evidence, judged, random_table, uniform

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.probes.text.choices import parts_of
from pytest_modelbench.results import Verdict

TABLE = random_table(3)


def log_likelihood(text: str, choice: str, table: Any = TABLE) -> float:
    """Return the log-likelihood of a choice after a text, by hand."""
    ids = [LETTERS.index(letter) for letter in text[-1] + choice]
    return float(sum(np.log(table[before, token]) for before, token in itertools.pairwise(ids)))


def drawn(count: int = 60) -> TextData:
    """Return prompts with choices of different lengths, of which the last one is right."""
    rng = np.random.default_rng(0)
    choices = [["".join(rng.choice(LETTERS, size)) for size in (1, 2, 5)] for _ in range(count)]
    prompts = ["".join(rng.choice(LETTERS, 4)) for _ in range(count)]
    return TextData(prompts, choices=choices, answers=[2] * count)


@pytest.mark.parametrize("norm", ["none", "tokens", "bytes"])
def test_the_likeliest_choice_is_that_of_the_table(norm: str) -> None:
    """By hand, for each length; a long choice is the likeliest only where its length is taken out."""
    data = drawn()
    assert data.choices is not None
    likeliest = [
        int(np.argmax([log_likelihood(prompt, choice) / (1 if norm == "none" else len(choice)) for choice in listed]))
        for prompt, listed in zip(data.prompts, data.choices, strict=True)
    ]
    found = evidence("choice_accuracy", student=TableModel(TABLE), data=data, length_norm=norm)
    assert found.student.value == pytest.approx(100 * likeliest.count(2) / len(likeliest))
    assert (found.student.value < 5) is (norm == "none")
    assert f"length_norm={norm!r}" in found.student.method


def test_bytes_are_those_of_utf8() -> None:
    """A letter of two bytes is as long as two letters: the unlikely one wins."""
    table = np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    model = TableModel(table, ("q", "b", "ä"))
    data = TextData(["q"], choices=[["b", "ä"]], answers=["ä"])
    values = {
        norm: evidence("choice_accuracy", student=model, data=data, length_norm=norm).student.value
        for norm in ("tokens", "bytes")
    }
    assert values == {"tokens": 0.0, "bytes": 0.0}
    assert np.log(0.4) / 2 > np.log(0.5)
    nearer = TableModel(np.array([[0.1, 0.5, 0.4]] * 3), model.words)
    assert evidence("choice_accuracy", student=nearer, data=data, length_norm="bytes").student.value == 100.0


def test_a_merge_over_the_boundary_moves_the_start_for_all_choices() -> None:
    """'xb' is one token: what is scored begins before it, for the other choice too, so that both have equal starts."""
    words = ("a", "x", "b", "c", "xb")
    model = TableModel(np.full((5, 5), 0.2), words)
    parts = parts_of(model, "ax", ["bc", "cb"], GenerationSettings())
    assert parts == [([0], [4, 3]), ([0], [1, 3, 2])]
    assert parts_of(model, "ax", ["c", "a"], GenerationSettings()) == [([0, 1], [3]), ([0, 1], [0])]


def test_a_choice_after_a_template_is_tokenised_by_itself() -> None:
    """The prompt is not the end of what the model gets; nor are messages."""
    words = ("a", "x", "b", "xb", "<", ">", "<s>")
    model = TableModel(np.full((7, 7), 1 / 7), words, first=6, template=("<", ">"))
    ahead = [6, 4, 0, 1, 5]
    for prompt in ("ax", [{"role": "user", "content": "ax"}]):
        assert parts_of(model, prompt, ["b", "ab"], GenerationSettings()) == [(ahead, [2]), (ahead, [0, 2])]
    plain = parts_of(model, "ax", ["b"], GenerationSettings(chat="never"))
    assert plain == [([6, 0], [3])]


def test_flips_and_newly_wrong_prompts() -> None:
    """The teacher has all right; the student flips two to wrong, and one that both have wrong."""
    table = np.full((8, 8), 1e-3)
    table[:, 1] = 1 - 7e-3
    other = table.copy()
    other[[2, 3, 4]] = np.roll(table[[2, 3, 4]], 4, axis=1)
    prompts = [f"a{letter}" for letter in "abcdefg"]
    data = TextData(prompts, choices=[["b", "f"]] * 7, answers=["b", "b", "b", 0, "f", "b", "b"], ids=list("tuvwxyz"))
    models = {"student": TableModel(other), "teacher": TableModel(table)}
    flips = evidence("choice_flips", "<= 50%", data=data, **models)
    assert flips.student.value == pytest.approx(100 * 3 / 7)
    assert flips.worst_samples == ("v", "w")
    assert flips.notes[0] == "2 prompts newly wrong, 1 newly right"
    accuracy = evidence("choice_accuracy", "drop <= 20 pp", data=data, **models)
    assert accuracy.student.value == pytest.approx(100 * 5 / 7)
    assert accuracy.comparison is not None
    assert accuracy.comparison.difference is not None
    assert accuracy.comparison.difference.value == pytest.approx(-100 / 7)
    assert accuracy.comparison.method == "Tango's score interval"


def test_equally_likely_choices_are_none() -> None:
    """A model that finds all choices alike has chosen none, though the first one be right; nor is that its teacher's."""
    data = TextData(list("abc"), choices=[["d", "e"]] * 3, answers=[0] * 3)
    found = evidence("choice_accuracy", student=uniform(), data=data)
    assert found.student.value == 0.0
    assert "several choices of 3 prompts the likeliest, none of which counts as right" in found.notes[-1]
    first = np.full((8, 8), 0.1)
    first[:, 3] = 0.3
    flips = evidence("choice_flips", student=uniform(), teacher=TableModel(first), data=data)
    assert flips.student.value == 100.0
    assert flips.notes[0] == "3 prompts newly wrong, 0 newly right"


@pytest.mark.parametrize("kpi", ["choice_accuracy", "choice_flips"])
def test_few_groups_are_noted(kpi: str) -> None:
    """As of all shares."""
    data = TextData(list("abcd"), choices=[["d", "e"]] * 4, answers=[0] * 4, group=[0, 0, 1, 1])
    found = evidence(kpi, student=TableModel(TABLE), teacher=TableModel(random_table(4)), data=data)
    assert any("2 groups are too few to show how alike" in note for note in found.notes)


def test_a_missing_space_is_noted() -> None:
    """A choice that goes on with the prompt's last word is another word than meant."""
    found = evidence("choice_accuracy", student=TableModel(TABLE, first=FIRST), data=drawn(9))
    assert found.notes == ("9 prompts end with a word that a choice goes on with: does a space lack between them?",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"prompts": ["a"]}, "it needs choices, and the evaluation data have none. Write EvalData(prompts="),
        ({"prompts": ["a"], "choices": [["b", "c"]]}, "it needs to know the right choices. Write EvalData(prompts="),
        ({"prompts": ["a"], "choices": [["b", "?"]], "answers": [0]}, "choices: found '?', which has no token"),
    ],
)
def test_data_without_choices(data: dict[str, Any], message: str) -> None:
    """Each is an error with what to write."""
    result, _ = judged("choice_accuracy", ">= 50%", student=uniform(), data=TextData(**data))
    assert result.verdict is Verdict.ERROR
    assert message in result.reason
