"""Reads rows of a tensor that lie one after another: a view of the file, or read from the disk."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from actscope.dtypes import raw_dtype
from actscope.protocol import Array
from actscope.store.opened import OpenedFile
from actscope.store.structure import StoredTensor

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

    def __getitem__(self, key: Any) -> Array:
        rows = _consecutive(key, self.count)
        if rows is not None:
            read = self._read(rows.start, rows.stop)
            if read is not None:
                return read if isinstance(key, slice) else np.array(read[0])
        return np.array(self._mapped[key])

    def between(self, start: int, stop: int) -> Array:
        """A view of the file where it is in memory."""
        read = self._read(start, stop)
        return self._mapped[start:stop] if read is None else read

    def _read(self, start: int, stop: int) -> Array | None:
        """Rows read from the disk; None where they are few, or in memory already."""
        size = (stop - start) * self.tensor.bytes_per_sample
        offset = self.tensor.offset + start * self.tensor.bytes_per_sample
        if size < WORTH_READING or self.file.is_in_memory(offset, size):
            return None
        rows = np.empty((stop - start, *self.tensor.shape), raw_dtype(self.tensor.dtype))
        self.file.read(offset, rows)
        return rows


def _consecutive(key: Any, count: int) -> range | None:
    """The rows that an index takes, where it takes whole ones that follow each other."""
    if isinstance(key, slice):
        rows = range(count)[key]
        return rows if rows.step == 1 and len(rows) else None
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and -count <= key < count:
        place = int(key) % count
        return range(place, place + 1)
    return None
