"""Compare what each reading of the data gives with what the first one gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modelbench.data.arrays import rows
from pytest_modelbench.data.hashing import batch_hash
from pytest_modelbench.errors import DataError


class Readings:
    """The checksums of all batches at the first reading, for every batch size.

    Arrays in memory are the same ones every time: they are read as a whole once, and after that a sixteenth of them
    shows whether a call wrote into them. All other data are read as a whole every time.
    """

    def __init__(self, *, in_memory: bool) -> None:
        self._in_memory = in_memory
        self._first: dict[int, list[int]] = {}
        self._samples: dict[int, list[int]] = {}

    def known(self, batch_size: int) -> bool:
        """Whether batches of this size were read before."""
        return bool(self._first.get(batch_size))

    def checksum(self, batch_size: int, number: int, inputs: Any, start: int) -> int:
        """Return a batch's checksum.

        Raises:
            DataError: it differs from that of the first reading.
        """
        first = self._first.setdefault(batch_size, [])
        samples = self._samples.setdefault(batch_size, [])
        if self._in_memory and number < len(samples):
            if batch_hash(inputs, sampled=True) != samples[number]:
                raise other_inputs(number, start, rows(inputs))
            return first[number]
        checksum = batch_hash(inputs)
        if number == len(samples) and self._in_memory:
            samples.append(batch_hash(inputs, sampled=True))
        if number == len(first):
            first.append(checksum)
        elif checksum != first[number]:
            raise other_inputs(number, start, rows(inputs))
        return checksum

    def expect(self, batch_size: int, checksums: Sequence[int]) -> None:
        """Compare with a reading of another process, or remember it as the first one.

        Raises:
            DataError: a batch differs.
        """
        first = self._first.setdefault(batch_size, [])
        for number, checksum in enumerate(checksums):
            if number == len(first):
                first.append(checksum)
            elif checksum != first[number]:
                raise other_inputs(number, number * batch_size, batch_size)

    def check_end(self, batch_size: int, batches: int) -> None:
        """Refuse a reading that ended before the first one did.

        Raises:
            DataError: with both numbers of batches.
        """
        before = len(self._first.get(batch_size, ()))
        if batches < before:
            raise DataError(
                f"reading the evaluation data again gave {batches} batches, and {before} before: every model must "
                "read all samples. Write an __iter__ that starts anew each time"
            )


def other_inputs(number: int, start: int, count: int) -> DataError:
    """Return the error that tells of data that do not stay the same."""
    return DataError(
        f"batch {number + 1} of the evaluation data (samples {start} to {start + count - 1}) holds other inputs than "
        "when it was first read: outputs for other inputs cannot be compared. Read the same samples every time: "
        "shuffle=False, and no noise, augmentation or unseeded random numbers in the dataset or its transforms"
    )
