"""The outputs of all shards, for what cannot be read in parts: in an order that no engine and no cutting changes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.sample_hashes import Hashes
from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.probes.answers.columns import release
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.plain import from_arrays, to_arrays
from pytest_modelbench.probes.wire import read_arrays, write_arrays

MOST_ROWS = 10_000_000
Array = npt.NDArray[Any]


class GatheredColumns:
    """Outputs by shard in a folder, put together by role in the order of the hashes of ids.

    Args:
        within: where they get a folder of their own, which is gone with this object; None for the system's place.
    """

    def __init__(self, within: Path | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="columns-", dir=within))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._rows: dict[int, int] = {}

    def add(self, number: int, hashes: Hashes, outputs: Mapping[str, Any]) -> None:
        """Keep the outputs of one shard; of too many samples nothing is kept.

        Args:
            number: the position of the shard.
            hashes: of its ids, in its order.
            outputs: by role, as `shard_task` returns them.
        """
        self._rows[number] = len(hashes)
        if self.too_many:
            self._remove()
            return
        write_arrays(self._folder / f"{number}.npz", to_arrays({"hashes": hashes, "outputs": dict(outputs)}))

    @property
    def too_many(self) -> bool:
        """Whether there are more samples than are gathered."""
        return sum(self._rows.values()) > MOST_ROWS

    def outputs(self, role: str, model: str) -> Outputs:
        """Return the outputs of one model for all samples.

        Args:
            role: of the model.
            model: its name.

        Raises:
            NotApplicable: there are too many samples.
            MeasurementError: the shards have outputs of different shapes.
        """
        n = sum(self._rows.values())
        if self.too_many:
            raise NotApplicable(
                f"it is not a sum over samples: it needs the outputs of all {n:,} at once, and at most "
                f"{MOST_ROWS:,} are gathered. Judge it on fewer shards"
            )
        parts = sorted(self._rows)
        order = np.argsort(np.concatenate([self._part(number)["hashes"] for number in parts]), kind="stable")
        places = np.empty(n, dtype=np.intp)
        places[order] = np.arange(n)
        columns: dict[str, Any] = {}
        start, classes = 0, None
        for number in parts:
            own = self._part(number)["outputs"][role]
            rows = places[start : start + self._rows[number]]
            for name in ("array", "targets", "nonfinite", "input_finite", "ids"):
                if own[name] is not None:
                    columns[name] = _placed(columns.get(name), own[name], rows, n, self._folder / f"{role}-{name}")
            start, classes = start + self._rows[number], own["classes"]
        return Outputs(
            model=model,
            array=columns["array"],
            targets=columns.get("targets"),
            ids=columns["ids"].tolist(),
            nonfinite=columns["nonfinite"],
            input_finite=columns["input_finite"],
            classes=classes,
            calls=0,
        )

    def _part(self, number: int) -> Any:
        return from_arrays(read_arrays(self._folder / f"{number}.npz"))


def _placed(column: Array | None, rows: Array, places: Array, n: int, file: Path) -> Array:
    """Return a column with some rows put in their places; a large one is in a file."""
    if column is None:
        shape = (n, *rows.shape[1:])
        large = rows.itemsize * int(np.prod(shape)) > 32 * 2**20 and rows.dtype.kind in "biufc"
        column = np.memmap(file, rows.dtype, "w+", shape=shape) if large else np.empty(shape, rows.dtype)
    if column.shape[1:] != rows.shape[1:]:
        raise MeasurementError(
            f"outputs have rows of shape {rows.shape[1:]} in one shard and {column.shape[1:]} before"
        )
    if column.dtype != rows.dtype:
        both = np.result_type(column, rows)
        whole = column.dtype.kind in "iu" and rows.dtype.kind in "iu"
        column = column.astype(object if whole and both.kind == "f" else both)  # large ids do not fit into floats
    column[places] = rows
    release(column)
    return column
