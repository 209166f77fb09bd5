"""The format of a saved model, read from its content, and the function that loads it. Standard library only."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.endpoints import FORMS

_START = 4096
"""How many bytes are read to recognise a file."""


@dataclass(frozen=True, kw_only=True)
class SavedFormat:
    """One format of saved models.

    Attributes:
        name: in messages.
        load: the function of `models.adapters` that loads it, as "module:function"; it gets the path and a `Loading`.
        what: the file in words, for the list of known formats; "" if another row says it.
        install: what to give `pip install` if the runtime is missing.
        options: the names of options that its runtime takes after the path, as in `model.onnx?provider=...`.
        tried_first: whether a damaged file can end the process that loads it, so that a fresh process loads it first.
    """

    name: str
    load: str
    what: str = ""
    install: str = ""
    options: tuple[str, ...] = ()
    tried_first: bool = False


ONNX = "'pytest-modelbench[onnx]'"
OPENVINO = "'pytest-modelbench[openvino]'"
FORMATS = {
    row.name: row
    for row in (
        SavedFormat(name="TorchScript", load="saved_torch:load_script", what="a TorchScript file"),
        SavedFormat(name="torch.export", load="saved_torch:load_exported", what="a torch.export archive (.pt2)"),
        SavedFormat(name="torch.save", load="saved_torch:load_pickled_torch"),
        SavedFormat(name="AOTInductor", load="aot_package:load_package", what="an AOTInductor package (.pt2)"),
        SavedFormat(
            name="ONNX", load="onnx_runtime:load_onnx", what="ONNX (.onnx)", install=ONNX, options=("provider",)
        ),
        SavedFormat(
            name="OpenVINO",
            load="openvino:load_openvino",
            what="OpenVINO (.xml)",
            install=OPENVINO,
            options=("precision",),
        ),
        SavedFormat(
            name="SavedModel",
            load="saved_model:load_saved_model",
            what="a TensorFlow SavedModel",
            install=OPENVINO,
            options=("runtime", "signature", "precision"),
        ),
        SavedFormat(
            name="LiteRT",
            load="litert:load_litert",
            what="LiteRT (.tflite)",
            install="'pytest-modelbench[litert]'",
            options=("runtime",),
        ),
        SavedFormat(
            name="ExecuTorch",
            load="executorch:load_program",
            what="ExecuTorch (.pte)",
            install="executorch",
            tried_first=True,
        ),
        SavedFormat(
            name="Keras", load="keras:load_keras", what="Keras (.keras)", install="'pytest-modelbench[keras]'"
        ),
        SavedFormat(name="TensorRT", load="tensorrt:load_engine", what="a TensorRT engine", install="tensorrt"),
        SavedFormat(name="TVM", load="tvm:load_library", what="a TVM library (.so)", install="apache-tvm"),
        SavedFormat(
            name="endpoint",
            load="endpoint:load_endpoint",
            what=f"an endpoint ({FORMS})",
            options=("timeout",),
        ),
        SavedFormat(name="TorchServe endpoint", load="torchserve:load_torchserve", options=("timeout", "management")),
        SavedFormat(
            name="OpenAI endpoint",
            load="openai_text:load_openai",
            options=("timeout", "api", "max_tokens", "key_env"),
        ),
        SavedFormat(name="skops", load="sklearn_estimator:load_skops", what="skops"),
        SavedFormat(name="pickle", load="sklearn_estimator:load_pickle"),
        SavedFormat(
            name="GGUF", load="gguf_file:load_gguf", what="GGUF (.gguf)", install="transformers gguf accelerate"
        ),
        SavedFormat(
            name="Hugging Face",
            load="huggingface:load_pretrained",
            what="a folder that save_pretrained() of Hugging Face wrote, or hf://organisation/name",
        ),
    )
}
"""All formats, in the order in which messages list them."""

Members = Sequence[str]
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError)
"""What zipfile raises for an archive that it cannot read."""


def _any_ends(members: Members, *ends: str) -> bool:
    return any(name.endswith(ends) for name in members)


_ARCHIVES: tuple[tuple[str, Callable[[Members], bool]], ...] = (
    ("AOTInductor", lambda members: any("data/aotinductor/" in name for name in members)),
    ("TorchScript", lambda members: _any_ends(members, "/constants.pkl")),
    ("torch.export", lambda members: _any_ends(members, "archive_format", "serialized_exported_program.json")),
    ("torch.save", lambda members: _any_ends(members, "data.pkl")),
    ("Keras", lambda members: {"config.json", "model.weights.h5"} <= set(members)),
    ("skops", lambda members: "schema.json" in members),
)
"""What the members of a zip archive say, in the order in which they are asked: some formats hold another one's."""

_FILES: tuple[tuple[str, Callable[[bytes, str], bool]], ...] = (
    ("GGUF", lambda start, _: start[:4] == b"GGUF"),
    ("pickle", lambda start, suffix: start[:1] == b"\x80" or suffix in {".pkl", ".pickle", ".joblib"}),
    ("LiteRT", lambda start, suffix: start[4:8] == b"TFL3" or suffix == ".tflite"),
    ("ExecuTorch", lambda start, suffix: start[4:8] == b"ET12" or suffix == ".pte"),
    ("TVM", lambda start, _: start[:4] == b"\x7fELF"),
    ("TensorRT", lambda start, suffix: start[:4] == b"ftrt" or suffix in {".engine", ".plan", ".trt"}),
    ("OpenVINO", lambda start, _: start.lstrip()[:5] in {b"<?xml", b"<net "} and b"<net " in start),
    ("ONNX", lambda start, suffix: start[:1] == b"\x08" or suffix == ".onnx"),
)
"""What the first bytes of a file and its suffix say, in the order in which they are asked."""

_FOLDERS: tuple[tuple[str, str], ...] = (("Hugging Face", "config.json"), ("SavedModel", "saved_model.pb"))
"""The file that a folder of a format holds."""


def known_formats() -> str:
    """List the formats that can be loaded."""
    *most, last = [row.what for row in FORMATS.values() if row.what]
    return f"{', '.join(most)}, {last}"


def format_of(path: Path, name: str, formats: str) -> SavedFormat:
    """Recognise the format of a file or folder.

    Args:
        path: of the file or folder, which exists.
        name: of the model, for messages.
        formats: the list of known ones, for messages.

    Raises:
        ModelError: the format is unknown, the file is empty or damaged, or it holds weights only.
    """
    if path.is_dir():
        return _of_folder(path, name, formats)
    if path.stat().st_size == 0:
        raise ModelError(f"{name}: {path} is empty (0 bytes)")
    if _is_archive(path):
        return _of_archive(path, name, formats)
    refuse_stand_in(path, name)
    if path.suffix == ".safetensors":
        raise ModelError(
            f"{name}: {path} holds weights only. Name what they are for as well: module:factory@{path.name}"
        )
    start = start_of(path)
    for format_name, fits in _FILES:
        if fits(start, path.suffix):
            return FORMATS[format_name]
    raise ModelError(f"{name}: {path} has an unknown format. Known are {formats}")


def start_of(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(_START)


def refuse_stand_in(path: Path, name: str) -> None:
    """Refuse a file that came in a model's place: a pointer of Git LFS, or a web page.

    Args:
        path: of the file.
        name: of the model, for messages.

    Raises:
        ModelError: it is one of them; the message says how to get the file itself.
    """
    start = start_of(path)
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{name}: {path} is a pointer of Git LFS, not the model. Fetch the model: git lfs pull "
            f"--include={path.name}"
        )
    if re.match(rb"\s*<(!doctype\s+)?html", start, re.IGNORECASE):
        raise ModelError(f"{name}: {path} is a web page, not a model: its download failed. Download it once more")


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True  # what is wrong with it is said when it is read


def check_archive(path: Path, name: str) -> None:
    """Compare the checksums of all members of a zip archive with their content; other files pass.

    Raises:
        ModelError: one differs, or cannot be read.
    """
    if not path.is_file() or not _is_archive(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (*_UNREADABLE, OSError, EOFError, RuntimeError, zlib.error) as error:
        raise ModelError(f"{name}: {path} is damaged: {error}") from error
    if damaged is not None:
        raise ModelError(f"{name}: {path} is damaged: the checksum of its part {damaged} does not fit the content")


def _of_folder(path: Path, name: str, formats: str) -> SavedFormat:
    for format_name, file in _FOLDERS:
        if (path / file).is_file():
            return FORMATS[format_name]
    files = " or ".join(file for _, file in _FOLDERS)
    raise ModelError(f"{name}: the folder {path} has no {files}. Known are {formats}")


def _of_archive(path: Path, name: str, formats: str) -> SavedFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except _UNREADABLE as error:
        raise ModelError(f"{name}: {path} is damaged: {error}") from error
    for format_name, fits in _ARCHIVES:
        if fits(members):
            return FORMATS[format_name]
    raise ModelError(f"{name}: {path} is an archive of unknown format. Known are {formats}")
