"""Hugging Face models and pipelines, with small randomly initialised configurations: no hub is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from suites import Judge
from transformers import BertConfig, BertForSequenceClassification, BertModel, pipeline
from transformers.models.bert import BertTokenizer

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "phone"]
TEXTS = ["good phone", "bad phone", "phone", "good good bad"]
TOKENS = {
    "input_ids": torch.tensor([[2, 5, 7, 3], [2, 6, 7, 3]]),
    "attention_mask": torch.ones(2, 4, dtype=torch.long),
}


def config() -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
    )


@pytest.fixture
def classifier() -> BertForSequenceClassification:
    torch.manual_seed(0)
    model = BertForSequenceClassification(config())
    model.eval()
    return model


@pytest.fixture
def classify(classifier: BertForSequenceClassification, tmp_path: Path) -> Any:
    tmp_path.joinpath("vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizer(vocab=str(tmp_path / "vocab.txt"))
    return pipeline("text-classification", model=classifier, tokenizer=tokenizer, device="cpu")


def as_student(candidate: Any) -> Model:
    return adapt(candidate, Loading(name="student"))


def test_model_in_memory_takes_mappings(classifier: BertForSequenceClassification) -> None:
    """A mapping becomes keyword arguments; the output object comes back as it is."""
    assert as_student(classifier)(TOKENS).logits.shape == (2, 3)


def test_saved_folder(classifier: BertForSequenceClassification, tmp_path: Path) -> None:
    """Loaded into the class that its configuration names; its size is that of the folder's files."""
    classifier.save_pretrained(tmp_path / "saved")
    model = as_student(tmp_path / "saved")
    with torch.no_grad():
        assert torch.allclose(model(TOKENS).logits, classifier(**TOKENS).logits, atol=1e-6)
    assert model.artefact().size_bytes == sum(file.stat().st_size for file in (tmp_path / "saved").iterdir())
    assert model.fingerprint() == as_student(tmp_path / "saved").fingerprint()
    assert model.describe()["file"] == "saved"


def test_folder_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No class in the configuration, pickled weights, a name that no hub has: one line each."""
    config().save_pretrained(tmp_path / "nameless")
    with pytest.raises(ModelError, match="names no class of transformers .* Load it in a factory"):
        as_student(tmp_path / "nameless")
    model = BertModel(config())
    model.save_pretrained(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        as_student(tmp_path / "pickled")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="student: hf://nobody/nothing cannot be loaded by transformers"):
        as_student("hf://nobody/nothing")


def test_folder_that_lacks_weights_is_refused(classifier: BertForSequenceClassification, tmp_path: Path) -> None:
    """Transformers would make them up at random."""
    classifier.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    state = {key: value for key, value in load_file(path).items() if "classifier" not in key}
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights of BertForSequenceClassification.*classifier.bias"):
        as_student(tmp_path / "saved")


def test_pairs_of_texts(classify: Any) -> None:
    """Two inputs are a text and its pair, not two texts."""
    pairs = (["good phone", "phone"], ["bad bad", "good good good"])
    expected = [classify({"text": a, "text_pair": b}, top_k=None) for a, b in zip(*pairs, strict=True)]
    scores = as_student(classify)(pairs)
    for row, answer in zip(scores, expected, strict=True):
        assert float(row.max()) == pytest.approx(max(entry["score"] for entry in answer), abs=1e-5)
    with pytest.raises(ModelError, match="takes a text or a pair, found 3 inputs"):
        as_student(classify)((*pairs, pairs[0]))


def test_pipeline_gives_probabilities_in_the_order_of_its_labels(classify: Any) -> None:
    """One row per text, one column per label, whatever order the answer comes in."""
    model = as_student(classify)
    scores = model(TEXTS)
    assert model.classes == ["negative", "neutral", "positive"]
    assert np.allclose(scores.sum(axis=1), 1)
    for text, row in zip(TEXTS, scores, strict=True):
        assert model.classes[int(row.argmax())] == classify(text)[0]["label"]
    assert np.allclose(model(np.array(TEXTS)), scores)
    copy = model.replicate()
    assert copy is not None
    assert np.allclose(copy(TEXTS), scores)
    expected = sum(p.numel() for p in classify.model.parameters())
    assert (model.unsure(), model.count_parameters().total) == (False, expected)
    model.look(TEXTS)
    assert model.count_parameters().total == expected


def test_pipeline_for_another_task(classifier: BertForSequenceClassification, classify: Any) -> None:
    """What it would return is unknown, so it is refused with the way out."""
    classify.task = "fill-mask"
    with pytest.raises(ModelError, match="a pipeline for 'fill-mask'; pipelines for text-classification.* are known"):
        as_student(classify)


def test_pipelines_are_judged(judge: Judge, classify: Any, tmp_path: Path) -> None:
    """End to end on raw texts: by label names, and by the positions of labels."""
    classify.save_pretrained(tmp_path / "pipe")
    for targets in ("['positive', 'negative'] * 4", "[2, 0] * 4"):
        finished = judge(
            """
            import pytest
            @pytest.mark.kpi("top1_accuracy", ">= 0.1%")
            @pytest.mark.kpi("agreement", "== 100%")
            def test_quality(): ...
            """,
            fakes=f"""
import pytest
from transformers import pipeline
def made(): return pipeline("text-classification", model={str(tmp_path / "pipe")!r}, device="cpu")
@pytest.fixture(scope="session")
def teacher_model(): return made()
@pytest.fixture(scope="session")
def student_model(): return made()
@pytest.fixture(scope="session")
def eval_data(): return {TEXTS * 2!r}, {targets}
""",
        )
        assert finished.gate("agreement")["verdict"] == "pass"
        assert finished.gate("top1_accuracy")["readings"]["student"]["n"] == 8, finished.text
