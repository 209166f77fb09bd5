"""Prompts with what answers are compared with: the forms they come in, and each mistake by its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_modelbench import DataError, EvalData, TextData
from pytest_modelbench.data.arrays import join, pick
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.data.given import as_eval_data, with_reading
from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import DoesNotFit

ROWS: list[dict[str, Any]] = [
    {"prompt": "2 + 2 =", "references": ["4", "four"], "id": "a", "group": "sums", "topic": "plus", "meta": [1]},
    {"prompt": "2 - 2 =", "references": ["0"], "id": "b", "group": "sums", "topic": "minus", "meta": [2]},
    {"prompt": "Hello!", "references": ["Hi"], "id": "c", "group": "talk", "topic": "talk", "meta": [3]},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello!"}]


def lines_of(folder: Path, text: str) -> Path:
    """Write a file of JSON lines."""
    path = folder / "prompts.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def in_lines(folder: Path) -> Path:
    """Write the rows as JSON lines, with an empty line between."""
    return lines_of(folder, "\n\n".join(map(json.dumps, ROWS)))


TABLES: dict[str, Callable[[Path], Any]] = {
    "list of rows": lambda _: ROWS,
    "mapping": lambda _: COLUMNS,
    "mapping of arrays": lambda _: {**COLUMNS, "prompt": np.array(COLUMNS["prompt"])},
    "pandas": lambda _: pd.DataFrame(COLUMNS, index=[7, 8, 9]),
    "pandas of arrays": lambda _: pd.DataFrame(
        {**COLUMNS, "references": [np.array(r) for r in COLUMNS["references"]]}
    ),
    "polars": lambda _: pl.DataFrame(COLUMNS),
    "dataset": lambda _: datasets.Dataset.from_list(ROWS),
    "formatted dataset": lambda _: datasets.Dataset.from_list(ROWS).with_format("numpy"),
    "streamed dataset": lambda _: datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    "path": in_lines,
    "name of a file": lambda folder: str(in_lines(folder)),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables_of_any_kind_mean_the_same(form: str, tmp_path: Path) -> None:
    """Columns are arguments by their names, all others are slices, and lists name no slice."""
    data: Any = EvalData(TABLES[form](tmp_path), task="text", max_new_tokens=8)
    assert isinstance(data, TextData)
    assert list(data.prompts) == COLUMNS["prompt"]
    assert data.references == (("4", "four"), ("0",), ("Hi",))
    assert (data.ids, data.group) == (["a", "b", "c"], ("sums", "sums", "talk"))
    (grouping,) = data.slices()
    assert grouping.names == ("topic=minus", "topic=plus", "topic=talk")
    assert data.notes == ["columns of lists, which name no slice: meta"]
    assert data.prompts.settings.max_new_tokens == 8


def test_lists_and_inference_of_the_task() -> None:
    """`prompts=` and `texts=` make text data without task=; strings and messages mix."""
    data: Any = EvalData(prompts=["a", CHAT], references=np.array(["x", "y"]), stop="\n", system="Be kind.")
    assert isinstance(data, TextData)
    assert data.task == "text"
    assert list(data.prompts) == ["a", CHAT]
    assert data.references == (("x",), ("y",))
    assert (data.settings.stop, data.settings.system) == (("\n",), "Be kind.")
    documents: Any = EvalData(texts=["One.", "Two."])
    assert (documents.texts, list(documents.inputs)) == (("One.", "Two."), ["One.", "Two."])
    with pytest.raises(DoesNotFit, match="have texts and no prompts"):
        _ = documents.prompts


def test_one_reference_to_each_prompt_is_a_column_too() -> None:
    """`reference` is the same as `references`; a column without values is not there."""
    data = TextData(pd.DataFrame({"prompt": ["a", "b"], "reference": ["x", "y"], "group": [None, None]}))
    assert data.references == (("x",), ("y",))
    assert data.group is None
    mixed = TextData([{"prompt": "a", "reference": "x"}, {"prompt": "b", "references": ["y", "z"]}])
    assert mixed.references == (("x",), ("y", "z"))


def test_answers_become_positions() -> None:
    """An answer is a choice or its position, from 0."""
    choices = [["yes", "no"], ["0", "1"], ("x", "y")]
    data = TextData(["a", "b", "c"], choices=choices, answers=["no", "1", np.int64(0)])
    assert data.choices == (("yes", "no"), ("0", "1"), ("x", "y"))
    assert data.answers == (1, 1, 0)
    assert [type(answer) for answer in data.answers] == [int] * 3


def test_columns_are_named_for_slices_and_features() -> None:
    """Slices and sensitive features of a table are names of its columns; what is sensitive is not a slice too."""
    table = {"prompt": ["a", "b"], "topic": ["x", "y"], "dialect": ["n", "s"]}
    data = TextData(table, sensitive="dialect")
    assert data.sensitive_names() == ["dialect"]
    assert [grouping.name for grouping in data.slices()] == ["topic"]
    assert [grouping.name for grouping in TextData(table, slices=["dialect"]).slices()] == ["dialect"]


def test_texts_stand_beside_prompts_in_some_rows() -> None:
    """A row with a prompt may have no text; the texts are those that are there."""
    data = TextData([{"prompt": "a", "text": "One."}, {"prompt": "b"}])
    assert (list(data.prompts), data.texts) == (["a", "b"], ("One.",))


def test_breakdowns_leave_out_missing_values_and_single_samples() -> None:
    """Slices of a breakdown have two samples on average; a sample without a value is in none."""
    table = {"prompt": list("abcd"), "url": list("wxyz"), "topic": ["m", "m", None, "n"]}
    (grouping,) = TextData(table).kinds()
    assert (grouping.names, grouping.codes.tolist()) == (("topic=m", "topic=n"), [0, 0, -1, 1])
    assert not TextData(table, missing="group").kinds(), "three groups of four samples are too many"


def test_batches_keep_the_settings() -> None:
    """What is sliced, picked, joined and drawn still says how answers are generated."""
    data = TextData([f"prompt {i}" * (i + 1) for i in range(12)], max_new_tokens=3, batch_size=5)
    batches = [batch.inputs for batch in data.batches()]
    assert list(map(len, batches)) == [5, 5, 2]
    parts = [*batches, join(batches), pick(data.inputs, np.array([2, 1])), *Draws(data).of(2).some()]
    assert [part.settings.max_new_tokens for part in parts] == [3] * len(parts)
    assert all(isinstance(part, Prompts) for part in parts)
    assert list(pick(data.inputs, np.array([2, 1]))) == [data.inputs[2], data.inputs[1]]


def test_data_are_the_same_where_nothing_differs() -> None:
    """The key depends on all that answers are compared with, and on how they are generated."""
    same: list[dict[str, Any]] = [
        {},
        {"references": [["x"], ["y"]]},
        {"references": ["x", "y"]},
        {"references": ["x", "z"]},
        {"max_new_tokens": 8},
        {"choices": [["x", "y"]] * 2},
        {"choices": [["x", "y"]] * 2, "answers": [0, 1]},
    ]
    keys = [TextData(["a", "b"], **more).key for more in same]
    assert keys[1] == keys[2]
    assert len(set(keys)) == len(keys) - 1
    messages = TextData([CHAT, "b"])
    assert messages.key == TextData([CHAT, "b"]).key
    assert messages.form()
    assert messages.row_hashes()


def test_fixtures_and_factories_give_files_and_frames(tmp_path: Path) -> None:
    """A path is evaluation data of prompts; a frame is, where the file says that its task is text."""
    path = in_lines(tmp_path)
    assert isinstance(as_eval_data(path), TextData)
    assert isinstance(as_eval_data(str(path)), TextData)
    read = with_reading(pd.DataFrame(COLUMNS), {"task": "text", "stop": ("x",)})
    assert isinstance(read, TextData)
    assert read.settings.stop == ("x",)
    assert isinstance(with_reading((["a"], ["b"]), {"task": "text"}), TextData)


TWO = ["a", "b"]
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "number of references": (
        lambda: TextData(TWO, ["x"]),
        "there are 2 samples and 1 references; expected one for each sample",
    ),
    "transposed references": (
        lambda: TextData([*TWO, "c"], [["x", "y", "z"], ["u", "v", "w"]]),
        (
            "references: found 2 lists with 3 references each, for 3 prompts; expected one entry for each prompt. Turn "
            "them: references=list(zip(*references))"
        ),
    ),
    "one transposed reference": (
        lambda: TextData(TWO, [["x", "y"]]),
        (
            "references: found 1 lists with 2 references each, for 2 prompts; expected one entry for each prompt. Turn "
            "them: references=list(zip(*references))"
        ),
    ),
    "reference of a number": (
        lambda: TextData(TWO, ["x", 4]),
        "references[1]: the reference is 4, expected a string. Write '4'",
    ),
    "reference in bytes": (
        lambda: TextData(TWO, ["x", [b"y"]]),
        "references[1]: the reference is b'y', expected a string. Write value.decode()",
    ),
    "empty reference": (
        lambda: TextData(TWO, ["x", ["y", " "]]),
        "references[1]: the reference is ' ', expected a text. Leave the sample out, or write it",
    ),
    "no reference": (
        lambda: TextData(TWO, ["x", []]),
        "references[1] has no reference. Leave the sample out, or write what is right",
    ),
    "empty prompt": (
        lambda: TextData(["a", " "], ids=["q1", "q2"]),
        "the sample 'q2': the prompt is empty. Leave the sample out, or write what the model is asked",
    ),
    "prompt in bytes": (
        lambda: TextData([b"a"]),
        (
            "prompts[0]: the prompt is b'a', expected a string, or messages such as "
            '[{"role": "user", "content": "..."}]. Write prompt.decode()'
        ),
    ),
    "prompt of a number": (
        lambda: TextData([3]),
        'prompts[0]: the prompt is 3, expected a string, or messages such as [{"role": "user", "content": "..."}]',
    ),
    "message without role": (
        lambda: TextData([[{"content": "a"}]]),
        'prompts[0]: a message has no role: found {\'content\': \'a\'}. Write {"role": "user", "content": "..."}',
    ),
    "message without text": (
        lambda: TextData([[{"role": "user", "content": None}]]),
        "prompts[0]: content of a message is None, expected a string",
    ),
    "no message": (
        lambda: TextData([[]]),
        "prompts[0]: the list of messages is empty. Leave the sample out, or write what the model is asked",
    ),
    "empty message": (
        lambda: TextData([[{"role": "user", "content": ""}]]),
        "prompts[0]: the last message is empty. Leave the sample out, or write what the model is asked",
    ),
    "single message": (
        lambda: TextData([CHAT[1]]),
        "prompts[0]: the prompt is a single message, expected a list of messages. Write [{...}]",
    ),
    "pairs": (
        lambda: TextData([("a", "x")]),
        (
            "prompts[0]: the prompt holds 'a' as a message, expected a string, or messages such as "
            '[{"role": "user", "content": "..."}]'
        ),
    ),
    "one prompt": (
        lambda: TextData("a"),
        "prompts: found 'a', expected a list with one entry for each sample",
    ),
    "ids in a set": (
        lambda: TextData(TWO, ids={"a"}),  # type: ignore[arg-type]
        "ids: found {'a'}, expected a list with one entry for each sample",
    ),
    "one choice": (
        lambda: TextData(["a"], choices=[["x"]]),
        "choices[0]: choices are ['x'], expected a list of at least two strings",
    ),
    "choices as a text": (
        lambda: TextData(["a"], choices=["xy"]),
        "choices[0]: choices are 'xy', expected a list of at least two strings",
    ),
    "equal choices": (
        lambda: TextData(["a"], choices=[["x", "y", "x"]]),
        "choices[0]: the choice 'x' is there twice. Write different choices",
    ),
    "answer out of range": (
        lambda: TextData(["a"], choices=[["x", "y"]], answers=[2]),
        "prompts[0]: answer is 2, expected one of its choices, 'x', 'y', or its position from 0 to 1",
    ),
    "answer that is not a choice": (
        lambda: TextData(["a"], choices=[["x", "y"]], answers=["X"], ids=["q"]),
        "the sample 'q': answer is 'X', expected one of its choices, 'x', 'y', or its position from 0 to 1",
    ),
    "answer as a truth value": (
        lambda: TextData(["a"], choices=[["x", "y"]], answers=[True]),
        "prompts[0]: answer is True, expected one of its choices, 'x', 'y', or its position from 0 to 1",
    ),
    "answers without choices": (
        lambda: TextData(["a"], answers=["x"]),
        (
            "there are answers and no choices. Write choices=[...] that they are among, or, for answers to compare with, "
            "references=[...]"
        ),
    ),
    "references of texts": (
        lambda: TextData(texts=["a"], references=["x"]),
        "there are references and no prompts. Write EvalData(prompts=[...], references=...)",
    ),
    "tokens": (
        lambda: TextData(["a"], max_new_tokens=0),
        "max_new_tokens: found 0, expected an integer of at least 1",
    ),
    "tokens as a float": (
        lambda: TextData(["a"], max_new_tokens=8.0),  # type: ignore[arg-type]
        "max_new_tokens: found 8.0, expected an integer of at least 1",
    ),
    "empty stop": (
        lambda: TextData(["a"], stop=["x", ""]),
        "stop: found ['x', ''], expected a text that ends an answer, or a list of such texts",
    ),
    "empty system": (
        lambda: TextData(["a"], system=" "),
        "system: found ' ', expected the text of the system message",
    ),
    "chat": (
        lambda: TextData(["a"], chat="yes"),
        "chat: found 'yes', expected one of auto, always, never",
    ),
    "equal ids": (
        lambda: TextData(TWO, ids=["q", "q"]),
        "ids: 'q' is the id of several samples. Give each sample a different one",
    ),
    "missing id": (
        lambda: TextData(TWO, ids=["q", None]),
        "ids: there is none for the sample at position 1. Give each sample one",
    ),
    "number of ids": (
        lambda: TextData(TWO, ids=["q"]),
        "there are 2 samples and 1 ids; expected one id per sample",
    ),
    "number of groups": (
        lambda: TextData(TWO, group=["g"]),
        "there are 2 samples and 1 group; expected one for each sample",
    ),
    "missing group": (
        lambda: TextData(TWO, group=["g", float("nan")]),
        "group[1]: group is nan, expected a string or a number",
    ),
    "nothing": (
        lambda: EvalData(task="text"),
        "there are neither prompts nor texts. Write EvalData(task='text', prompts=[...])",
    ),
    "no prompts": (lambda: TextData([]), "the evaluation data is empty: inputs of shape [0 items]"),
    "missing prompt in a frame": (
        lambda: TextData(pd.DataFrame({"prompt": ["a", float("nan")]})),
        "row 1 of the frame has no prompt: found nan. Leave the sample out, or write its prompt",
    ),
    "no column of prompts": (
        lambda: TextData(pl.DataFrame({"question": ["a"], "answer": ["b"]})),
        "the frame has neither prompt nor text; found 'question', 'answer'. Rename what the model is asked to 'prompt'",
    ),
    "two columns of references": (
        lambda: TextData({"prompt": ["a"], "reference": ["x"], "references": ["y"]}),
        "row 0 of the mapping has both reference and references. Remove one of them",
    ),
    "a column of a setting": (
        lambda: TextData({"prompt": ["a"], "stop": ["."]}),
        (
            "the mapping has a column 'stop', and stop= is one setting for all prompts. Write it beside the mapping. If "
            "the column names slices, rename it"
        ),
    ),
    "two columns of one name": (
        lambda: TextData(pd.DataFrame([["a", "b"]], columns=["prompt", "prompt"])),
        "the frame has two columns 'prompt'. Rename one of them",
    ),
    "columns of different lengths": (
        lambda: TextData({"prompt": ["a"], "reference": ["x", "y"]}),
        "the columns have different lengths: prompt 1, reference 2",
    ),
    "lazy frame": (
        lambda: TextData(pl.LazyFrame({"prompt": ["a"]})),
        "found a LazyFrame, which has no rows yet. Write frame.collect()",
    ),
    "argument and column": (
        lambda: TextData({"prompt": ["a"], "reference": ["x"]}, references=["y"]),
        "references are stated, and the mapping has them, too. Remove one of them",
    ),
    "unknown column of slices": (
        lambda: TextData({"prompt": ["a"], "topic": ["x"]}, slices=["topics"]),
        "slices: the mapping has no column 'topics' that names slices; found: 'topic'",
    ),
    "other ending": (
        lambda: TextData(Path("prompts.csv")),
        "prompts.csv: the name ends in '.csv', expected one of .jsonl, .ndjson",
    ),
    "no file": (lambda: TextData("none.jsonl"), "there is no file none.jsonl"),
    "several splits": (
        lambda: TextData(datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS))),
        "found a DatasetDict with the splits 'test'; expected one of them. Write EvalData(dataset['test'])",
    ),
    "unknown argument": (
        lambda: EvalData(task="text", prompts=TWO, max_tokens=8),
        "EvalData(task='text') takes no argument max_tokens=; did you mean max_new_tokens=?",
    ),
    "argument of labels": (
        lambda: EvalData(task="text", prompts=TWO, targets=[0, 1]),
        "EvalData(task='text') takes no argument targets=. Write references=[...]",
    ),
    "unknown argument of labels": (
        lambda: EvalData([1], [2], batchsize=3),
        "EvalData takes no argument batchsize=; did you mean batch_size=?",
    ),
    "references of inputs": (
        lambda: EvalData(TWO, references=["x", "y"]),
        "EvalData takes no argument references=. Write task='text', prompts=[...], references=...",
    ),
    "prompts of another task": (
        lambda: EvalData(task="binary", prompts=TWO),
        "EvalData takes no argument prompts=. Write task='text'",
    ),
    "task of text data": (
        lambda: TextData(TWO, task="binary"),
        "task: found 'binary', expected 'text' where prompts or texts are given",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_its_message(name: str) -> None:
    """Where, what was found, what was expected, what to write."""
    make, message = MISTAKES[name]
    with pytest.raises(DataError) as raised:
        make()
    assert str(raised.value) == message


BROKEN_LINES = {
    "cut off": ('{"prompt": "a"}\n{"prompt": "b"', r":2: it is not JSON: .*The file may be cut off"),
    "list": ("[1]", r":1: found \[1\], expected an object with a value for each column"),
    "no prompt": ('{"prompt": "a"}\n\n{"reference": "x"}', r":3 has no prompt: found None\. Leave the sample out"),
    "other keys": ('{"question": "a"}', r"the file .*prompts.jsonl has neither prompt nor text; found 'question'\."),
    "no line": ("\n", r'prompts.jsonl has no line\. Write one for each prompt: \{"prompt": "\.\.\."'),
    "reference": ('{"prompt": "a", "reference": 4}', r":1: the reference is 4, expected a string\. Write '4'"),
    "missing reference": (
        '{"prompt": "a", "reference": "x"}\n{"prompt": "b"}',
        r":2: the reference is None, expected a",
    ),
    "answer": ('{"prompt": "a", "choices": ["x", "y"], "answer": "z"}', r":1: answer is 'z', expected one of its"),
    "not a number": ('{"prompt": NaN}', r":1 has no prompt: found nan"),
}


@pytest.mark.parametrize("name", BROKEN_LINES)
def test_mistakes_in_lines_have_their_number(name: str, tmp_path: Path) -> None:
    """The message names the file and the line, counted with empty ones."""
    text, message = BROKEN_LINES[name]
    with pytest.raises(DataError, match=message) as raised:
        TextData(lines_of(tmp_path, text))
    assert str(tmp_path) in str(raised.value)


def test_lines_are_read_in_utf_8(tmp_path: Path) -> None:
    """A byte order mark is left out, and other encodings are refused."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + '{"prompt": "größe"}'.encode())
    assert list(TextData(path).prompts) == ["größe"]
    path.write_bytes('{"prompt": "größe"}'.encode("latin-1"))
    with pytest.raises(DataError, match=re.escape(f"{path} is not text in UTF-8")):
        TextData(path)


def test_batches_of_another_size_are_another_measurement() -> None:
    """Greedy answers may depend on it; what a contract is of does not."""
    one, two = (TextData(["a", "b"], batch_size=size) for size in (1, 2))
    assert one.key != two.key
    assert one.fingerprint() == two.fingerprint()
