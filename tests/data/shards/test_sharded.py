"""`EvalData.from_shards`: the samples of many files, as if they were in one, and every mistake named by its shard."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData
from pytest_modelbench.data.shards.reader import ShardReader
from pytest_modelbench.data.shards.sharded import ShardedData
from pytest_modelbench.errors import DataError

Make = Callable[..., ShardedData]
SIZES = (5, 7, 6)
LOADERS = """
import numpy as np
from pytest_modelbench import EvalData

def stem(name):
    return name.rpartition("/")[2].partition(".")[0]

def rows(name, **others):
    x = np.load(name)
    return EvalData(x["x"], x["label"], ids=[str(i) for i in x["id"]], **others)

def whole(name): return rows(name)
def stated(name): return rows(name, task="multiclass", outputs="logits", batch_size=3)
def of_another_task(name): return rows(name, task="regression")
def of_other_outputs(name): return rows(name, outputs="labels")
def without_ids(name): return EvalData(np.load(name)["x"], np.load(name)["label"])
def pair(name): return np.load(name)["x"], np.load(name)["label"]
def named(name):
    x = np.load(name)
    return {"id": x["id"], "x": x["x"]}, x["label"]
def frame(name):
    import pandas
    x = np.load(name)
    return pandas.DataFrame({"id": x["id"], "x": x["x"][:, 0], "label": x["label"]})
def nothing(name): return None
def number(name): return 3
def once(name): return iter([(np.zeros(2), np.zeros(2))])
def broken(name): raise KeyError(stem(name))
def leaves(name): raise SystemExit(3)
def binned(name): return EvalData({"age": np.load(name)["x"][:, 0]}, np.load(name)["label"], ids=np.load(name)["id"],
                                  sensitive="age", bins=2)
def young(inputs): return inputs["x"][:, 0] < 0.5
class Loader:
    @staticmethod
    def read(name): return rows(name)
value = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards of 5, 7 and 6 samples, and a module `shop_loaders`."""
    rng = np.random.default_rng(0)
    start = 0
    for number, size in enumerate(SIZES):
        np.savez(
            tmp_path / f"part-{number}.npz",
            id=np.arange(start, start + size),
            x=rng.random((size, 2), dtype=np.float32),
            label=rng.integers(0, 3, size),
            sex=np.array(["f", "m"] * size)[:size],
        )
        start += size
    (tmp_path / "shop_loaders.py").write_text(LOADERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_loaders", raising=False)
    return tmp_path


@pytest.fixture
def made(folder: Path) -> Make:
    """Make data of the three shards."""

    def make(shards: Any = "*.npz", **others: Any) -> ShardedData:
        given = {"task": "multiclass", "outputs": "logits", "folder": folder, **others}
        data = EvalData.from_shards(shards, **given)
        assert isinstance(data, ShardedData)
        return data

    return make


def read_ids(data: EvalData) -> list[Any]:
    """Return the ids of all batches."""
    return [int(sample) for batch in data.batches() for sample in batch.ids]


def test_shards_are_read_in_order_as_one_set(made: Make) -> None:
    """The same samples, ids and targets as of one file; no batch has samples of two shards."""
    data = made(columns="x", batch_size=4)
    batches = list(data.batches())
    assert [len(batch.ids) for batch in batches] == [4, 1, 4, 3, 4, 2]
    assert read_ids(data) == list(range(18))
    shards = [data.shard(number) for number in range(3)]
    np.testing.assert_array_equal(
        np.concatenate([batch.inputs for batch in batches]), np.concatenate([shard.inputs for shard in shards])
    )
    np.testing.assert_array_equal(
        np.concatenate([batch.targets for batch in batches]), np.concatenate([shard.targets for shard in shards])
    )
    assert [batch.checksum for batch in data.batches()] == [b.checksum for shard in shards for b in shard.batches(4)]


def test_making_it_reads_no_shard(made: Make, folder: Path) -> None:
    """Files may be hours of reading; the length is unknown until then."""
    for number in range(3):
        (folder / f"part-{number}.npz").write_bytes(b"nothing")
    data = made()
    assert (data.length, data.source.length, data.manifest, data.notes) == (None, None, None, ["3 shards"])
    assert data.key == made().key
    assert data.sensitive_names() == []
    with pytest.raises(DataError, match=r"shard .*part-0.npz: it cannot be read, it may be cut off"):
        next(data.batches())


def test_a_shard_is_ordinary_data(made: Make) -> None:
    """With its task, ids, groups and notes; the first one stays in memory."""
    data = made(columns=["x", "sex"], sensitive="sex")
    shard = data.shard(1)
    assert type(shard) is EvalData
    assert (shard.task, shard.outputs, shard.ids) == ("multiclass", "logits", list(range(5, 12)))
    assert shard.notes == ["targets: the column 'label', by its name", "ids: the column 'id', by its name"]
    assert shard.sensitive()[0].sizes() == [4, 3]
    assert data.first() is data.first()
    assert data.notes == ["3 shards", *data.first().notes]
    assert sum(data.sensitive()[0].sizes()) == 18


def test_features_may_be_functions_that_workers_import(made: Make, folder: Path) -> None:
    """They go to another process by their names."""
    from shop_loaders import young  # type: ignore[import-not-found]

    data = made(columns=["x", "sex"], slices={"young": young, "by sex": "sex"})
    reader = pickle.loads(pickle.dumps(data.reader))  # noqa: S301 - our own
    names = [grouping.name for grouping in reader.read(data.names[0]).slices()]
    assert sorted(names) == ["by sex", "young"]


def test_another_process_reads_the_same(made: Make, folder: Path, tmp_path: Path) -> None:
    """One that has another path of Python, as workers of a cluster have."""
    data = made(load="shop_loaders:whole")
    (tmp_path / "reader.pickle").write_bytes(pickle.dumps((data.reader, data.names[2])))
    code = (
        "import pickle, sys; reader, name = pickle.load(open(sys.argv[1], 'rb')); data = reader.read(name); "
        "print(list(map(int, data.ids)), data.task, data.fingerprint())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "reader.pickle")]
    package = str(Path(sys.modules["pytest_modelbench"].__file__ or "").parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={**os.environ, "PYTHONPATH": package}, check=False
    )
    expected = f"{list(range(12, 18))} multiclass {data.shard(2).fingerprint()}\n"
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize("load", ["whole", "stated", "named", "frame", "Loader.read"])
def test_a_function_reads_a_shard(made: Make, load: str) -> None:
    """It returns EvalData, or inputs as EvalData takes them with a column of ids."""
    data = made(load=f"shop_loaders:{load}")
    assert read_ids(data) == list(range(18))
    assert (data.first().task, data.first().outputs) == ("multiclass", "logits")


def test_a_function_may_be_given_itself(made: Make, folder: Path) -> None:
    """If another process finds it by its name."""
    from shop_loaders import whole

    assert made(load=whole).reader == made(load="shop_loaders:whole").reader


def test_facts_of_all_shards(made: Make) -> None:
    """Once they were read, the length is known, and the digest is that of any other shards."""
    data = made()
    manifest = data.facts()
    assert data.manifest is manifest
    assert (manifest.n, data.length, len(data.ids or ()), manifest.classes) == (18, 18, 18, (0, 1, 2))
    assert data.notes[0] == "3 shards, 18 samples"
    assert data.ids_hash() == manifest.digest == made("part-[210].npz").ids_hash()


def test_ids_are_a_sequence(made: Make) -> None:
    """As those of other data."""
    ids = made().ids
    assert ids is not None
    assert (list(map(int, ids)), list(map(int, ids[4:7])), ids[-1]) == (list(range(18)), [4, 5, 6], 17)
    assert list(map(int, ids[::-6])) == [17, 11, 5]
    with pytest.raises(IndexError):
        ids[18]


def test_a_manifest_gives_the_length_and_is_checked(made: Make, folder: Path) -> None:
    """Rows that a shard lost are seen while it is read, other ids when the facts are known."""
    made().facts().write(folder / "m.json")
    data = made(manifest="m.json")
    assert (data.length, data.notes) == (18, ["3 shards, 18 samples"])
    data.facts()
    arrays = dict(np.load(folder / "part-1.npz"))
    np.savez(folder / "part-1.npz", **{name: array[:-1] for name, array in arrays.items()})
    with pytest.raises(DataError, match=r"shard part-1.npz: 6 samples were read, and .*m.json says 7: 1 are lost"):
        read_ids(made(manifest="m.json"))
    np.savez(folder / "part-1.npz", **{**arrays, "id": arrays["id"] + 100})
    with pytest.raises(DataError, match="shard part-1.npz: it has 7 samples as .* says, and other ids"):
        made(manifest="m.json").facts()
    with pytest.raises(DataError, match="the shard part-2.npz is not in the list; the manifest has 3 shards, and 2"):
        made("part-[01].npz", manifest="m.json")


def test_an_id_in_two_shards_is_named(made: Make, folder: Path) -> None:
    """With both shards."""
    arrays = dict(np.load(folder / "part-2.npz"))
    np.savez(folder / "part-2.npz", **{**arrays, "id": [12, 13, 3, 15, 16, 17]})
    with pytest.raises(DataError, match=r"would count twice: 3 in part-0.npz and part-2.npz\. Leave the copies out"):
        made().facts()


def test_facts_of_workers_are_put_in_order(made: Make) -> None:
    """From any process, in any order; a shard without facts is an error."""
    data = made()
    facts = list(data.facts().shards)
    assert [known.name for known in made().checked(facts[::-1]).shards] == ["part-0.npz", "part-1.npz", "part-2.npz"]
    with pytest.raises(DataError, match="shard part-1.npz was not read, one of 1 of 3"):
        made().checked([facts[0], facts[2]])
    with pytest.raises(
        DataError, match="shard part-0.npz: its facts are there twice, or it is not one of the shards"
    ):
        made().checked([*facts, facts[0]])


def test_the_fingerprint_follows_files_and_arguments(made: Make, folder: Path) -> None:
    """A file that is written again is other data, unless a manifest has the digests of the ids."""
    made().facts().write(folder / "m.json")
    plain, listed = made().fingerprint(), made(manifest="m.json").fingerprint()
    assert made().fingerprint() == plain != made(batch_size=3).fingerprint()
    assert made("part-[01].npz").fingerprint() != plain
    os.utime(folder / "part-0.npz", (1, 1))
    assert made().fingerprint() != plain
    assert made(manifest="m.json").fingerprint() == listed


def test_inputs_that_change_between_readings_are_seen(made: Make, folder: Path) -> None:
    """As for other data: models must get the same inputs."""
    data = made("part-[01].npz", columns="x", batch_size=4)
    list(data.batches())
    arrays = dict(np.load(folder / "part-1.npz"))
    np.savez(folder / "part-1.npz", **{**arrays, "x": arrays["x"] + 1})
    with pytest.raises(DataError, match=r"batch 3 of the evaluation data \(samples 5 to 8\) holds other inputs"):
        list(data.batches())


def test_shards_are_changed_one_by_one(made: Make) -> None:
    """A changed copy of all of them would not go to other processes."""
    data = made(columns="x")
    with pytest.raises(DataError, match=r"are changed one by one, not as a MappedSource. Write eval_data.first\(\)"):
        data.mapped(lambda inputs: inputs)
    assert data.first().mapped(lambda inputs: inputs + 1).source.length == 5
    other = data.read_as("binary", "labels")
    assert (other.first().task, other.first().outputs, data.first().task) == ("binary", "labels", "multiclass")


def test_tasks_with_a_class_of_their_own(made: Make, folder: Path) -> None:
    """Each shard is of that class; a KPI of labels says what to write."""
    data = made(task="forecasting", outputs=None, columns="x", target="label", season=2)
    assert type(data.first()).__name__ == "ForecastingData"
    assert "Write forecast_mae" in data.does_not_fit
    assert made().does_not_fit == ""
    assert made(task="segmentation", outputs=None, ignore_index=255).batch_size == 8


@pytest.mark.parametrize(
    ("load", "others", "message"),
    [
        ("broken", {}, "load=shop_loaders:broken raised KeyError: 'part-0'"),
        ("leaves", {}, "load=shop_loaders:leaves raised SystemExit: 3"),
        ("nothing", {}, r"load=shop_loaders:nothing returned None, expected EvalData or \(inputs, targets\)"),
        ("number", {}, "its inputs are of type int, which has no ids"),
        ("pair", {}, "its inputs are of type ndarray, which has no ids"),
        ("without_ids", {}, r"load returns EvalData without ids. Write EvalData\(..., ids=...\)"),
        ("of_another_task", {}, "load returns EvalData with task='regression', and task='multiclass' is stated"),
        ("of_other_outputs", {}, "load returns EvalData with outputs='labels', and outputs='logits' is stated"),
        ("whole", {"sensitive": "sex"}, "load returns EvalData, which state sensitive= themselves. Remove it"),
        ("named", {"ids": "key"}, r"there is no column 'key' among 'id', 'x'. Write EvalData.from_shards\(..., ids="),
        ("binned", {}, r"bins of equal size depend on all samples. State their edges, such as bins=\[30, 50\]"),
        (None, {"columns": "z"}, "there is no column 'z' in the inputs"),
        (None, {"ids": "sex", "columns": "sex"}, "there is no column 'sex' in the inputs"),
    ],
)
def test_a_shard_that_cannot_be_read_is_named(made: Make, load: str | None, others: Any, message: str) -> None:
    """What its function did, and what to write."""
    data = made(load=None if load is None else f"shop_loaders:{load}", **others)
    with pytest.raises(DataError, match=rf"^shard .*part-0.npz: {message}"):
        next(data.batches())


def local(name: str) -> Any:
    """Return nothing; a class below has a method that no worker finds."""


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"task": None}, r"State task= \(multiclass, binary, .*ranking\)$"),
        ({"outputs": None}, r"State outputs= \('logits', 'probabilities', or 'labels' if models return labels\)$"),
        ({"bins": 4, "outputs": None}, r"State outputs= .* and the edges of bins=, such as bins=\[30, 50\]"),
        ({"bins": {"age": 4}}, "State the edges of bins="),
        ({"task": "tagging"}, r"State scheme= \('IOB2', 'IOBES', ..., or None for plain tags\)$"),
        ({"task": "tagging", "scheme": "auto", "load": "shop_loaders:whole"}, "State scheme="),
        ({"task": "multiclss"}, "task: found 'multiclss', expected one of .*; did you mean 'multiclass'"),
        (
            {"task": "embedding"},
            "task='embedding' is not read from shards: neighbours are searched among all samples",
        ),
        ({"task": "text"}, "task='text' is not read from shards: a file of prompts is read as one"),
        ({"outputs": "logit"}, "outputs: found 'logit', expected one of logits"),
        ({"colums": "x"}, r"EvalData.from_shards takes no argument colums=; did you mean columns=\?"),
        ({"group": [1]}, 'takes no argument group=. Write load="module:function", which returns EvalData with it'),
        ({"task": "forecasting", "block": 3}, "block= would count windows anew in each shard"),
        ({"sensitive": np.zeros(3)}, r"sensitive: found an array of shape \(3,\), which cannot be sent to another"),
        (
            {"slices": {"a": [True]}},
            r"slices\['a'\]: found \[True\], which cannot be sent .* Write the name of a column",
        ),
        ({"slices": {"a": lambda inputs: inputs}}, r"slices\['a'\]: workers cannot import .*<lambda> of "),
        ({"ids": [1, 2]}, r"ids: found \[1, 2\], expected the name of the column that has them in every shard"),
        ({"batch_size": 0}, "batch_size: found 0, expected an integer of at least 1"),
        ({"target": "x", "columns": ["x"]}, "columns: 'x' is the target, and would go to the model"),
        (
            {"load": lambda name: name},
            "load: workers cannot import .*<lambda> of .*Write the function at the top of a",
        ),
        ({"load": 3}, 'load: found 3, expected "module:function"'),
        ({"load": "shop_loaders"}, "load: found 'shop_loaders', expected \"module:function\""),
        (
            {"load": "shop_loadrs:whole"},
            "load: 'shop_loadrs:whole' cannot be imported, there is no module 'shop_loadrs'",
        ),
        ({"load": "shop_loaders:hole"}, "load: the module shop_loaders has no function 'hole'; did you mean 'whole'"),
        ({"load": "shop_loaders:value"}, "load: the module shop_loaders has no function 'value'"),
        ({"manifest": "none.json"}, "manifest .*none.json: .*No such file"),
    ],
)
def test_mistakes_in_arguments_are_found_before_any_reading(made: Make, others: Any, message: str) -> None:
    """One message says what to write."""
    with pytest.raises(DataError, match=message):
        made(**others)


def test_several_columns_of_ids_are_a_question(made: Make, folder: Path) -> None:
    """Which of them identifies a sample is for the user to say."""
    for number in range(3):
        arrays = dict(np.load(folder / f"part-{number}.npz"))
        np.savez(folder / f"part-{number}.npz", **arrays, ids=arrays["id"] + 100)
    with pytest.raises(DataError, match="several columns may be the ids among 'id', 'x', 'label', 'sex', 'ids'"):
        made().first()
    ids = made(ids="ids", columns="x").first().ids
    assert ids is not None
    assert ids[0] == 100


def test_readers_that_read_alike_are_equal(made: Make) -> None:
    """Their digest is part of what measurements are shared by."""
    assert ShardReader(task="binary").digest() == ShardReader(task="binary").digest()
    assert ShardReader(task="binary").digest() != ShardReader(task="binary", ids="id").digest()
    assert made(columns="x").reading != made(columns=["x"]).reading
