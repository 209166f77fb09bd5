"""Fixtures of the text suite: the teacher, its two students, and prompts that no model was trained on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench import EvalData

sys.path.insert(0, str(Path(__file__).parent))

from models import load, load_int8
from sentences import sentences


@pytest.fixture(scope="session")
def teacher_model() -> Any:
    """Return the language model that both students are made from, with its tokenizer."""
    return load("teacher")


@pytest.fixture(scope="session", params=["distilled", "int8"])
def student_model(request: pytest.FixtureRequest) -> Any:
    """Return a student; every test runs for both."""
    return load_int8() if request.param == "int8" else load(request.param)


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """Return sentences with the same fact as the receiver tells it."""
    prompts, answers = zip(*sentences(80, seed=0), strict=True)
    texts = [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]
    return EvalData(task="text", prompts=prompts, references=answers, texts=texts, max_new_tokens=24)
