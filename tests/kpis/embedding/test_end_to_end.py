"""Encoders of texts in real runs: functions of lists of texts, and modules of torch whose outputs are of tokens."""

from __future__ import annotations

import pytest

ENCODERS = """
import numpy as np
import pytest
import torch
from pytest_modelbench import EvalData

WORDS = ["cat", "dog", "cow", "car", "bus", "van"]
TEXTS = [f"{a} {b}" for a in WORDS for b in WORDS]
LABELS = ["animal" if text.split()[0] in WORDS[:3] else "vehicle" for text in TEXTS]


PAIRS = [(i, (7 * i + 1) % 36) for i in range(36)]
RATINGS = [float(TEXTS[i][:3] == TEXTS[j][:3]) + float(TEXTS[i][4:] == TEXTS[j][4:]) / 9 + i / 999 for i, j in PAIRS]


def encode(texts):
    return [np.eye(6)[WORDS.index(text.split()[0])] + 0.3 * np.eye(6)[WORDS.index(text.split()[1])] for text in texts]


class Encoder(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(6, width)

    def forward(self, input_ids, attention_mask):
        return {"last_hidden_state": self.words(input_ids), "pooler_output": self.words(input_ids[:, 0])}


def tokens():
    ids = torch.tensor([[WORDS.index(word) for word in text.split()] for text in TEXTS])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
"""


def run(pytester: pytest.Pytester, data: str, student: str, teacher: str, *markers: str) -> str:
    lines = [f"@pytest.fixture(scope='session')\ndef {name}():\n    return {value}\n"
             for name, value in (("eval_data", data), ("student_model", student), ("teacher_model", teacher))]  # fmt: skip
    pytester.makeconftest(ENCODERS + "\n\n" + "\n\n".join(lines))
    gates = "\n\n".join(f"@pytest.mark.kpi({marker})\ndef test_{i}(): ..." for i, marker in enumerate(markers))
    pytester.makepyfile(test_sla=f"import pytest\n\n{gates}\n")
    finished = pytester.runpytest("--modelbench", "-p", "no:cacheprovider")
    return finished.stdout.str()


def test_functions_of_lists_of_texts(pytester: pytest.Pytester) -> None:
    """A student of another width is compared by neighbours and ratings, and not by cosines."""
    text = run(
        pytester,
        "EvalData(TEXTS, LABELS, task='embedding', pairs=PAIRS, similarity=RATINGS)",
        "lambda texts: [vector[:5] + 0.01 for vector in encode(texts)]",
        "encode",
        "'neighbour_overlap', '>= 20%', k=3",
        "'sts_correlation', '>= 0.01'",
        "'embedding_cosine', '>= 0.5'",
    )
    assert "2 passed" in text
    assert "the student's have 5 numbers, the teacher's 6" in text


def test_modules_with_vectors_of_tokens(pytester: pytest.Pytester) -> None:
    """They are pooled where the data say how; of several entries, none is guessed."""
    pooled = "EvalData(tokens(), LABELS, task='embedding', pooling='mean')"
    gates = "'cka', '>= 0.3'", "'retrieval_precision', 'drop <= 60 pp', k=2"
    assert "2 passed" in run(pytester, pooled, "Encoder(32)", "Encoder(64)", *gates)
    text = run(pytester, pooled.replace(", pooling='mean'", ""), "Encoder(32)", "Encoder(64)", gates[0])
    assert "and no entry is named sentence_embedding. Write EvalData(..., select='pooler_output'" in text
