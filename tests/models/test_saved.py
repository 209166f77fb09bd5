"""Models in files: real ones, written and loaded; and files that are refused, each with its reason."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import safetensors.torch
import sklearn.linear_model
import torch
from skops import io
from torch import nn

from pytest_modelbench.errors import ModelError, UsageMistake
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.locate import build, locate
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Filled, Loading, SavedModel, load_saved

BATCH = torch.linspace(-1, 1, 12).reshape(3, 4)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2)).eval()


def write_script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(net()).save(str(path))


def write_exported(path: Path, dynamic: bool = True) -> None:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(net(), (BATCH,), dynamic_shapes=shapes), path)


def load(path: Path | str, **loading: Any) -> Model:
    return adapt(str(path), Loading(name="student", **loading))


def refused(path: Path | str, words: str, **loading: Any) -> None:
    with pytest.raises(ModelError, match=words) as error:
        load(path, **loading)
    assert str(error.value).startswith("student")


@pytest.mark.parametrize(("name", "write"), [("model.pt", write_script), ("model.bin", write_exported)])
def test_saved_program_answers_as_the_module_did(tmp_path: Path, name: str, write: Any) -> None:
    """Its format is read from the content; it can be copied, counted, hashed, and its size is the file's."""
    path = tmp_path / name
    write(path)
    model, again = load(path), load(path)
    with torch.no_grad():
        expected = net()(BATCH)
    assert torch.allclose(model(BATCH), expected)
    assert torch.allclose(model(BATCH[:2]), expected[:2])
    copy = model.replicate()
    assert copy is not None
    assert torch.allclose(copy(BATCH), expected)
    assert model.count_parameters().total == sum(p.numel() for p in net().parameters())
    assert model.artefact().size_bytes == path.stat().st_size
    assert model.fingerprint() == again.fingerprint()
    assert model.describe()["file"] == name


def test_exported_for_one_batch_size_says_so(tmp_path: Path) -> None:
    """The failing call explains what to do."""
    write_exported(tmp_path / "fixed.pt2", dynamic=False)
    model = load(tmp_path / "fixed.pt2")
    assert model(BATCH).shape == (3, 2)
    with pytest.raises(
        ModelError, match=r"export it with dynamic_shapes.* or write EvalData\(\.\.\., batch_size=N\)"
    ):
        model(BATCH[:2])


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_beside_a_factory(tmp_path: Path, name: str) -> None:
    """`module:factory@weights`: safetensors, or a state_dict read with weights_only=True."""
    tmp_path.joinpath("shop.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))\n"
    )
    state, path = net().state_dict(), tmp_path / name
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    found = build(locate(NamedSpec(spec=f"shop.py:make@{name}"), tmp_path))
    model = adapt(found, Loading(name="student"))
    with torch.no_grad():
        assert torch.allclose(model(BATCH), net()(BATCH))
    assert model.artefact().size_bytes == path.stat().st_size
    assert model.fingerprint() != adapt(nn.Linear(4, 2), Loading(name="student")).fingerprint()
    with pytest.raises(UsageMistake, match=r"there is no file .*missing.pt"):
        locate(NamedSpec(spec="shop.py:make@missing.pt"), tmp_path)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_shared_weights_need_to_be_there_once(tmp_path: Path) -> None:
    """Safetensors keeps one of the two names; if neither is there, both are missing."""
    safetensors.torch.save_model(Tied(), str(tmp_path / "tied.safetensors"))
    model = adapt(Filled(Tied(), tmp_path / "tied.safetensors"), Loading(name="student"))
    assert model.count_parameters().total == 20
    safetensors.torch.save_file({"other": torch.zeros(1)}, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"missing: .*embedding.weight.* \(2\); unexpected: other \(1\)"):
        adapt(Filled(Tied(), tmp_path / "none.safetensors"), Loading(name="student"))


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """Other shapes, a factory that makes no module, a file that holds more than weights."""
    torch.save(nn.Linear(4, 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w.pt do not fit the module: size mismatch for weight"):
        adapt(Filled(nn.Linear(4, 2), tmp_path / "w.pt"), Loading(name="student"))
    with pytest.raises(ModelError, match="the factory made a dict; expected a torch.nn.Module"):
        adapt(Filled({}, tmp_path / "w.pt"), Loading(name="student"))
    torch.save(nn.Linear(4, 2), tmp_path / "module.pt")
    with pytest.raises(ModelError, match="holds more than weights"):
        adapt(Filled(nn.Linear(4, 2), tmp_path / "module.pt"), Loading(name="student"))


def test_pickled_module_is_refused_unless_allowed(tmp_path: Path) -> None:
    """The refusal says why and what to do instead; allowed, it is loaded."""
    torch.save(net(), tmp_path / "module.pt")
    refused(
        tmp_path / "module.pt",
        "is a pickled module, and unpickling executes code from the file. Save the model by torch.export.save .*"
        "or trust it with --modelbench-allow-pickle",
    )
    assert load(tmp_path / "module.pt", allow_pickle=True)(BATCH).shape == (3, 2)


def test_estimator_in_a_skops_file(tmp_path: Path) -> None:
    """Loaded without trusting anything; its size is the file's."""
    inputs = np.arange(20.0).reshape(10, 2)
    fitted = sklearn.linear_model.LogisticRegression().fit(inputs, [0, 1] * 5)
    io.dump(fitted, tmp_path / "model.skops")
    model = load(tmp_path / "model.skops")
    assert np.allclose(model(inputs), fitted.predict_proba(inputs))
    assert model.artefact().size_bytes == (tmp_path / "model.skops").stat().st_size


class Odd(sklearn.linear_model.LinearRegression):  # type: ignore[misc]
    """An estimator that skops does not know."""


def test_skops_file_with_unknown_types(tmp_path: Path) -> None:
    """Refused with the types' names unless pickles are allowed."""
    io.dump(Odd().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path / "odd.skops")
    refused(tmp_path / "odd.skops", r"a skops file with types that skops does not trust \(.*Odd\)")
    assert load(tmp_path / "odd.skops", allow_pickle=True)([[2.0]])[0] == pytest.approx(2.0)


def test_pickled_estimator_is_refused_unless_allowed(tmp_path: Path) -> None:
    """By joblib or by pickle."""
    fitted = sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    joblib.dump(fitted, tmp_path / "model.joblib")
    tmp_path.joinpath("model.bin").write_bytes(pickle.dumps(fitted))
    for name in ("model.joblib", "model.bin"):
        refused(
            tmp_path / name, "is a pickle, and unpickling executes code from the file. Save the estimator by skops"
        )
        assert load(tmp_path / name, allow_pickle=True)([[2.0]])[0] == pytest.approx(2.0)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    """Each is told apart, and says what would be a model."""
    torch.save(net().state_dict(), tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", "holds weights only. Name what they are for as well: module:factory@weights.pt")
    safetensors.torch.save_file(net().state_dict(), tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "holds weights only.*module:factory@w.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "holds a list, expected a torch.nn.Module")
    tmp_path.joinpath("empty.pt2").touch()
    refused(tmp_path / "empty.pt2", r"is empty \(0 bytes\)")
    tmp_path.joinpath("model.onnx").write_bytes(b"\x08\x07")
    refused(tmp_path / "model.onnx", "is not an ONNX model: it has no operators")
    tmp_path.joinpath("folder").mkdir()
    refused(tmp_path / "folder", "has no config.json")
    refused(tmp_path / "nowhere.pt", "and there is no such file. Known are a TorchScript file")
    write_script(tmp_path / "cut.pt")
    whole = tmp_path.joinpath("cut.pt").read_bytes()
    tmp_path.joinpath("cut.pt").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.pt", "has an unknown format")
    tmp_path.joinpath("broken.pkl").write_bytes(b"\x80\x04broken")
    refused(tmp_path / "broken.pkl", "cannot be unpickled", allow_pickle=True)


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.pt2", "m.safetensors", "m.pkl"])
def test_what_came_in_the_place_of_a_model_is_told(tmp_path: Path, name: str) -> None:
    """A pointer of Git LFS and a web page are no damaged models: the message says how to get the model, as for weights."""
    path = tmp_path / name
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n")
    refused(path, f"{name} is a pointer of Git LFS, not the model. Fetch the model: git lfs pull --include={name}")
    with pytest.raises(ModelError, match="is a pointer of Git LFS"):
        adapt(Filled(net(), path), Loading(name="student"))
    path.write_text("\n<!DOCTYPE html>\n<html><body>404</body></html>")
    refused(path, f"{name} is a web page, not a model: its download failed")


def test_path_object_and_text_are_alike(tmp_path: Path) -> None:
    """A fixture may return either."""
    write_exported(tmp_path / "model.pt2")
    for candidate in (tmp_path / "model.pt2", SavedModel(str(tmp_path / "model.pt2"))):
        assert adapt(candidate, Loading(name="teacher")).name == "teacher"


def test_packed_weights_in_torchscript_are_counted(tmp_path: Path) -> None:
    """The code of the file holds them, frozen or not; what it holds of no known kind is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.jit.script(torch.ao.quantization.quantize_dynamic(net(), {nn.Linear}))
        packed.save(str(tmp_path / "int8.pt"))
        torch.jit.freeze(packed.eval()).save(str(tmp_path / "frozen.pt"))
    for name in ("int8.pt", "frozen.pt"):
        model = load(tmp_path / name)
        assert model(BATCH).shape == (3, 2)
        assert model.count_parameters().total == sum(p.numel() for p in net().parameters())


def test_two_roles_never_share_filled_weights(tmp_path: Path) -> None:
    """A factory that always gives the same module is filled anew for each role."""
    shared = nn.Linear(4, 2)
    files = []
    for sign in (1.0, -1.0):
        files.append(tmp_path / f"{sign}.safetensors")
        safetensors.torch.save_file({"weight": torch.full((2, 4), sign), "bias": torch.zeros(2)}, files[-1])
    student, teacher = (adapt(Filled(shared, file), Loading(name="student")) for file in files)
    assert torch.equal(student(BATCH), -teacher(BATCH))


def test_frozen_torchscript_counts_its_constants(tmp_path: Path) -> None:
    """Its weights are constants: no parameters must not read as a reduction by 100%."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(torch.jit.script(net())).save(str(tmp_path / "frozen.pt"))
    model = load(tmp_path / "frozen.pt")
    assert torch.allclose(model(BATCH), net()(BATCH))
    assert not model.unsure()
    count = model.count_parameters()
    assert (count.total, count.elsewhere) == (sum(p.numel() for p in net().parameters()),) * 2


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_path_that_no_file_can_have_is_told(name: str) -> None:
    """A name that is too long for a file, or holds a NUL, is no such file."""
    with pytest.raises(ModelError, match="and there is no such file"):
        load_saved(SavedModel(name), Loading(name="student"))
