"""Windows over documents: every token once, with enough before it, as transformers' guide cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from likely_models import TableModel, uniform

from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.probes.text.windows import Windows, log_probabilities, windows_for


@given(st.integers(0, 60), st.integers(2, 12), st.data(), st.booleans())
def test_every_token_is_scored_once(count: int, size: int, data: st.DataObject, bos: bool) -> None:
    """In order, in windows that fit, after at least `size - stride` tokens but in the first window."""
    stride, ids = data.draw(st.integers(1, size - 1)), list(range(100, 100 + count))
    parts = list(Windows(size=size, stride=stride, first=7 if bos else None).parts(ids))
    assert [token for _, scored in parts for token in scored] == (ids if bos else ids[1:])
    for number, (before, scored) in enumerate(parts):
        assert 1 <= len(before) <= size - len(scored)
        assert (before[0] == 7) is bos
        assert [*before[bos:], *scored] == ids[ids.index(scored[0]) - len(before[bos:]) :][
            : len(before[bos:] + scored)
        ]
        assert number == 0 or len(before) >= size - stride


def test_windows_are_those_of_the_guide() -> None:
    """The loop of huggingface.co/docs/transformers/perplexity, which has no first token."""
    ids, size, stride = list(range(23)), 8, 3
    guide, last = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + size, len(ids))
        guide.append((ids[begin : max(last, 1)], ids[max(last, 1) : end]))
        last = end
        if end == len(ids):
            break
    assert list(Windows(size=size, stride=stride).parts(ids)) == guide


def test_defaults_are_the_context_and_half_of_it() -> None:
    """Without any context, documents are whole."""
    windows = windows_for(uniform(context=10, first=7), {}, 10)
    assert (windows.size, windows.stride, windows.first) == (10, 5, 7)
    assert windows_for(uniform(first=7), {"bos": False}, None).told.startswith("whole documents, without BOS")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 11}, r"^window=11: the context of table is 10 tokens. Write window=10, or less$"),
        ({"stride": 10}, r"^stride=10, expected less than the window of 10 tokens: .* Write stride=5$"),
        ({"window": 4, "stride": 4}, r"^stride=4, expected less than the window of 4 tokens"),
    ],
)
def test_windows_that_do_not_fit(options: dict[str, int], message: str) -> None:
    """The message says what fits."""
    with pytest.raises(MeasurementError, match=message):
        windows_for(uniform(context=10), options, 10)


@pytest.mark.parametrize(
    ("table", "ids", "message"),
    [
        (
            [[0.5, 0.5], [float("nan"), 0.5]],
            [0, 1, 0],
            r"table gives NaN for the probabilities of a text of 3 tokens",
        ),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 2], r"shape \(2, 2\) for 2 tokens up to number 2; expected \(tokens, vocab"),
        ([[0.5, 0.5]], [1, 1], r"^table raised IndexError on inputs of shape \[2 items\]: index 1 is out of bounds"),
    ],
)
def test_probabilities_that_cannot_be_used(table: list[list[float]], ids: list[int], message: str) -> None:
    """NaN, another vocabulary, and a model that raises are errors of the model."""
    with pytest.raises(ModelError, match=message):
        log_probabilities(TableModel(table, "ab"), [0], ids)
