"""Facts of a shard, and what may not differ between shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData
from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.data.shards.facts import Facts, Part, digest_of, facts_of, joined_digest
from pytest_modelbench.data.shards.manifest import Expected, Manifest, read_manifest
from pytest_modelbench.errors import DataError

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
IDS = [f"s{number}" for number in range(6)]


def data(**others: Any) -> EvalData:
    """Six samples."""
    given: dict[str, Any] = {"ids": IDS, "task": "multiclass", "batch_size": 4, **others}
    return EvalData(given.pop("inputs", X), given.pop("targets", Y), **given)


def known(name: str, **others: Any) -> Facts:
    """Facts of a shard without mistakes."""
    usual: dict[str, Any] = {
        "n": 2,
        "ids": digest_of(hashes_of([f"{name}-0", f"{name}-1"])),
        "inputs": (Part(name="inputs", shape=(2,), dtype="float32"),),
        "targets": "integers",
        "classes": (0, 1),
        "kind": "texts",
    }
    return Facts(name=name, **(usual | others))


def test_facts_say_what_a_shard_holds() -> None:
    """They travel as plain JSON, and come back equal."""
    facts = facts_of(data(inputs={"x": X, "words": ["a"] * 6}), "a.npz")
    assert (facts.n, facts.targets, facts.classes, facts.repeated) == (6, "integers", (0, 1, 2), ())
    assert facts.inputs == (
        Part(name="inputs['x']", shape=(2,), dtype="float32"),
        Part(name="inputs['words']", shape=None, dtype="list of str"),
    )
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_the_digest_does_not_depend_on_order_or_on_shards() -> None:
    """The same samples in any order and in any shards have one digest; other samples have another."""
    whole = digest_of(hashes_of(IDS))
    assert facts_of(data(ids=IDS[::-1]), "a").ids == whole
    assert joined_digest([digest_of(hashes_of(IDS[:2])), digest_of(hashes_of(IDS[2:]))]) == whole
    assert digest_of(hashes_of([*IDS[:5], "other"])) != whole
    assert digest_of(hashes_of([*IDS, "twice", "twice"]))[16:] == whole[16:]  # only the sum sees a pair
    assert digest_of(hashes_of([*IDS, "twice", "twice"])) != whole


@pytest.mark.parametrize(
    ("targets", "task", "kind", "classes"),
    [
        (Y.astype(np.int8), "multiclass", "integers", (0, 1, 2)),
        (["a", "b"] * 3, "binary", "texts", ("a", "b")),
        (np.array(["a", "b"] * 3, dtype=object), "binary", "texts", ("a", "b")),
        (Y > 0, "binary", "booleans", (False, True)),
        (Y / 2, "regression", "floats", None),
        (np.zeros((6, 3), int), "multilabel", "integers of shape (3,)", None),
        (None, "multiclass", "", ()),
    ],
)
def test_targets_have_a_kind(targets: Any, task: str, kind: str, classes: Any) -> None:
    """Classes belong to classification only."""
    facts = facts_of(data(targets=targets, task=task), "a")
    assert (facts.targets, facts.classes) == (kind, classes)


def test_rows_of_several_shapes_have_free_axes() -> None:
    """A list of arrays, and batches that are padded to other lengths."""
    ragged = [np.zeros((3, size), np.uint8) for size in (4, 5, 4, 4, 4, 4)]
    assert facts_of(data(inputs=ragged), "a").inputs == (Part(name="inputs", shape=(3, None), dtype="uint8"),)
    padded = EvalData([(X, Y), (np.zeros((6, 3), np.float32), Y)], task="multiclass", ids=range(12), batch_size=6)
    assert facts_of(padded, "a").inputs[0].shape == (None,)


def test_frames_and_tensors_have_a_form() -> None:
    """A frame by its columns."""
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    frame = pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "y": [0, 1]})
    parts = facts_of(EvalData(frame, target="y", ids=[1, 2], task="binary"), "f").inputs
    assert [(part.name, part.dtype) for part in parts] == [("inputs['a']", "int64"), ("inputs['b']", "float64")]
    assert facts_of(data(inputs=torch.zeros(6, 3)), "t").inputs[0].dtype == "torch.float32"


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (range(6), "integers"),
        (np.arange(6, dtype=np.uint8), "integers"),
        (np.array(IDS), "texts"),
        (["a", 1, 2, 3, 4, 5], "integers and texts"),
    ],
)
def test_ids_have_a_kind(ids: Any, kind: str) -> None:
    """The width of numbers and texts makes none."""
    assert facts_of(data(ids=ids), "a").kind == kind


def test_an_id_that_is_there_twice_is_named() -> None:
    """Ids are compared themselves, also where they are numbers."""
    assert facts_of(data(ids=["a", "b", "a", "c", "d", "e"]), "x").repeated == ("a",)
    assert facts_of(data(ids=np.array([1, 2, 3, 3, 4, 4])), "x").repeated in {("3", "4"), ("4", "3")}
    with pytest.raises(DataError, match=r"shard x: id 1 is None; expected a whole number or a text"):
        facts_of(data(ids=["a", None, "b", "c", "d", "e"]), "x")
    with pytest.raises(DataError, match="shard x: it has no ids"):
        facts_of(data(ids=None), "x")


def test_shards_that_belong_together_are_one_manifest() -> None:
    """The total, the digest and the classes of all."""
    manifest = Manifest(shards=(known("a"), known("b", n=3, classes=(2,))))
    manifest.check([0, 1, 2])
    assert (manifest.n, manifest.classes) == (5, (0, 1, 2))
    assert manifest.digest == digest_of(hashes_of(["a-0", "a-1", "b-0", "b-1"]))


SHAPED = (Part(name="inputs", shape=(3,), dtype="float32"),)
TYPED = (Part(name="inputs", shape=(2,), dtype="float64"),)
MORE = (*known("a").inputs, Part(name="age", shape=(), dtype="int64"))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"n": 0}, "shard c is empty. Remove it from the list"),
        ({"repeated": ("k",)}, "shard c: ids are there more than once, such as 'k'"),
        (
            {"kind": "integers"},
            "shard c: its ids are integers, and those of most shards texts: 7 and '7' would be two",
        ),
        ({"targets": "floats"}, "shard c: its targets are floats, and those of most shards integers"),
        ({"targets": ""}, "shard c: its targets are not there, and those of most shards integers"),
        ({"inputs": SHAPED}, r"shard c: a row of inputs has the shape \(3,\), and \(2,\) in most shards"),
        ({"inputs": TYPED}, "shard c: inputs is of type float64, and of float32 in most shards. Write one type"),
        ({"inputs": MORE}, "shard c alone has age; most shards have inputs. Write the same columns in all"),
        ({"inputs": ()}, "shard c lacks inputs; most shards have inputs"),
        ({"classes": (0, 7)}, r"shard c: the targets 7 are outside of classes=\[0, 1\]"),
    ],
)
def test_the_shard_that_differs_is_named(others: dict[str, Any], message: str) -> None:
    """What it has, what most have, and what to write."""
    with pytest.raises(DataError, match=message):
        Manifest(shards=(known("a"), known("c", **others), known("b"))).check([0, 1])


def test_columns_in_another_order_are_another_form() -> None:
    """A mapping becomes keyword arguments, and a frame's model may go by position."""
    ordered = [Manifest(shards=tuple(known(name, inputs=MORE) for name in "ab")).shards[0]]
    with pytest.raises(DataError, match="shard c has another order; most shards have inputs, age"):
        Manifest(shards=(*ordered, known("b", inputs=MORE), known("c", inputs=MORE[::-1]))).check()


def test_an_axis_that_varies_inside_a_shard_varies_between_shards() -> None:
    """Padded texts and images of several sizes are no mistake; another number of axes is one."""
    free = (Part(name="inputs", shape=(None,), dtype="float32"),)
    Manifest(shards=(known("a"), known("b", inputs=free), known("c", inputs=SHAPED))).check()
    first_two = Manifest(shards=(known("a"), known("c", inputs=SHAPED)))
    first_two.check(complete=False)  # b, which says that the axis varies, may be read later
    with pytest.raises(DataError, match="a row of inputs has the shape"):
        first_two.check()
    axes = (Part(name="inputs", shape=(2, 2), dtype="float32"),)
    with pytest.raises(DataError, match="shard c: a row of inputs has the shape"):
        Manifest(shards=(known("a", inputs=free), known("b", inputs=free), known("c", inputs=axes))).check()


def test_numbers_may_be_positions_of_named_classes() -> None:
    """As the targets of data in one piece."""
    shards = (known("a"), known("b", classes=(0, 2)))
    Manifest(shards=shards).check(["cat", "dog", "eel"])
    with pytest.raises(DataError, match="shard b: the targets 2 are outside"):
        Manifest(shards=shards).check(["cat", "dog"])


def test_a_manifest_that_was_written_is_read(tmp_path: Path) -> None:
    """With digests; a file of a pipeline may have numbers only, and names with folders."""
    manifest = Manifest(shards=(known("a.npz"), known("b.npz", n=3)))
    manifest.write(tmp_path / "m.json")
    expected = read_manifest(tmp_path / "m.json", ["a.npz", "b.npz"])
    manifest.compare(expected, "m.json")
    assert expected["b.npz"] == Expected(n=3, ids=manifest.shards[1].ids)
    (tmp_path / "n.json").write_text('{"shards": {"out/a.npz": 2, "./b.npz": {"n": 3}}}')
    assert read_manifest(tmp_path / "n.json", ["a.npz", "b.npz"]) == {"a.npz": Expected(n=2), "b.npz": Expected(n=3)}


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (Expected(n=1000), "shard a: 2 samples were read, and m.json says 1,000: 998 are lost"),
        (Expected(n=1), "shard a: 2 samples were read, and m.json says 1: 1 are too many"),
        (Expected(n=2, ids="0" * 32), "shard a: it has 2 samples as m.json says, and other ids"),
    ],
)
def test_lost_rows_and_changed_ids_are_seen(expected: Expected, message: str) -> None:
    """By the name of the shard."""
    with pytest.raises(DataError, match=message):
        Manifest(shards=(known("a"),)).compare({"a": expected}, "m.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "manifest .*m.json: it is not JSON"),
        ("[]", r"m.json: found \[\], expected {\"shards\": {\"part-0.parquet\": 1000}}"),
        ('{"shards": {}}', "m.json: found {'shards': {}}, expected"),
        ('{"shards": {"a": "2"}}', "m.json: the shard 'a' has '2', expected a number of samples"),
        ('{"shards": {"a": true}}', "m.json: the shard 'a' has True"),
        ('{"shards": {"a": -1}}', "m.json: the shard 'a' has -1"),
        ('{"shards": {"a": {"n": 2, "ids": "xyz"}}}', "m.json: the shard 'a' has {'n': 2, 'ids': 'xyz'}"),
        ('{"shards": {"a": {"n": 2, "rows": 2}}}', "m.json: the shard 'a' has "),
        (
            '{"shards": {"a": 2, "b": 2}}',
            "m.json: the shard b is not in the list; the manifest has 2 shards, and 1 are",
        ),
        ('{"shards": {"b": 2}}', "m.json: it does not list the shard a; the manifest has 1 shards, and 1 are given"),
    ],
)
def test_a_manifest_with_mistakes_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A shard that is lost is seen before anything is read."""
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.json", ["a"])


def test_a_manifest_that_is_not_there_says_how_to_write_one(tmp_path: Path) -> None:
    """By the facts of the data."""
    with pytest.raises(DataError, match=r"Write it by EvalData.from_shards\(...\).facts\(\).write\("):
        read_manifest(tmp_path / "m.json", ["a"])
