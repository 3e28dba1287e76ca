"""Reads rows of a tensor that lie one after another: a view of the file, or read from the disk."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from actscope.dtypes import raw_dtype
from actscope.protocol import Array
from actscope.store.opened import OpenedFile
from actscope.store.stored_tensors import StoredTensor

WORTH_READING = 2**17
"""Bytes below which it is not asked whether they are in memory."""


@dataclass(frozen=True)
class ContiguousRows:
    """Rows that lie one after another."""

    file: OpenedFile
    tensor: StoredTensor
    count: int

    @cached_property
    def _mapped(self) -> Array:
        """All of them, as a view of the file."""
        shape = (self.count, *self.tensor.shape)
        return self.file.mapped(raw_dtype(self.tensor.dtype), self.tensor.offset, shape)

    @cached_property
    def _width(self) -> int:
        """Bytes of one row."""
        return self.tensor.bytes_per_sample

    def __getitem__(self, key: Any) -> Array:
        found = None
        if isinstance(key, slice):
            rows = range(self.count)[key]
            found = self._read(rows.start, rows.stop) if rows.step == 1 else None
        elif isinstance(key, int | np.integer) and -self.count <= key < self.count:
            row = int(key) % self.count
            read = None if isinstance(key, bool) else self._read(row, row + 1)
            found = None if read is None else read[0]
        elif _is_list_of_rows(key) and self._width >= WORTH_READING:
            found = self._one_by_one(np.arange(self.count)[key])
        return np.array(self._mapped[key]) if found is None else found

    def between(self, start: int, stop: int) -> Array:
        """A view of the file where it is in memory."""
        read = self._read(start, stop)
        return self._mapped[start:stop] if read is None else read

    def _read(self, start: int, stop: int) -> Array | None:
        """Rows read from the disk; None where they are few, or in memory already."""
        size, offset = (stop - start) * self._width, self.tensor.offset + start * self._width
        if size < WORTH_READING or self.file.is_in_memory(offset, size):
            return None
        rows = np.empty((stop - start, *self.tensor.shape), raw_dtype(self.tensor.dtype))
        self.file.read(offset, rows)
        return rows

    def _one_by_one(self, rows: Array) -> Array:
        """Large rows that need not follow each other, each from where it is."""
        found = np.empty((len(rows), *self.tensor.shape), raw_dtype(self.tensor.dtype))
        for place, row in enumerate(rows.tolist()):
            offset = self.tensor.offset + row * self._width
            if self.file.is_in_memory(offset, self._width):
                found[place] = self._mapped[row]
            else:
                self.file.read(offset, found[place : place + 1])
        return found


def _is_list_of_rows(key: Any) -> bool:
    """Whether an index lists whole rows, by their numbers or by a mask."""
    return isinstance(key, list | np.ndarray) and np.ndim(key) == 1 and len(key) > 0
