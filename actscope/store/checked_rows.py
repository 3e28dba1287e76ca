"""Hands out the rows of a finished recording for writing them anew, each block checked before.

What is damaged would otherwise get new checksums, and count as sound from then on. Rows in chunks
that will be stored as they are need not be encoded again: `StoredRows` stand for them.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from actscope.dtypes import raw_dtype
from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store.checksums import block_checksums
from actscope.store.rows import ChunkedRows, Rows
from actscope.store.stored_tensors import StoredTensor


@dataclass(frozen=True)
class KnownChecksums:
    """The checksums of a tensor all of whose rows are there.

    Attributes:
        rows_per_block: rows of every block but the last.
        blocks: one checksum per block; none where the file has none.
    """

    rows_per_block: int = 1
    blocks: tuple[int, ...] = ()


@dataclass
class CheckedRows:
    """The rows of one tensor, to be read from first to last: then no chunk is decoded twice.

    Attributes:
        name: of the file.
        tensor: the tensor.
        count: how many rows it has.
        rows: where they come from.
        known: their checksums.
        room: bytes of them to hold in memory: whole bands where they fit.
    """

    name: str
    tensor: StoredTensor
    count: int
    rows: Rows
    known: KnownChecksums
    room: int
    _first: int = field(default=0, init=False)
    _held: Array | None = field(default=None, init=False)

    def between(self, start: int, stop: int) -> Array:
        """Consecutive rows, in the dtype in which they are stored.

        Raises:
            FormatError: they differ from their checksums, or cannot be decoded.
        """
        parts: list[Array] = []
        while start < stop:
            held = self._holding(start)
            parts.append(held[start - self._first : stop - self._first])
            start += len(parts[-1])
        if len(parts) == 1:
            return parts[0]
        none = np.empty((0, *self.tensor.shape), raw_dtype(self.tensor.dtype))
        return np.concatenate(parts) if parts else none

    def _holding(self, row: int) -> Array:
        """The rows that are held, `row` among them."""
        if self._held is None or not self._first <= row < self._first + len(self._held):
            self._held = None  # first, since it can be large
            self._first = row // self._together * self._together
            stop = min(self._first + self._together, self.count)
            held = self.rows.between(self._first, stop)
            self.checksums(self._first, held)
            self._held = held
        return self._held

    @cached_property
    def _together(self) -> int:
        """How many rows are held at a time: whole bands where there is room, else whole blocks."""
        block = self.known.rows_per_block
        band = self.tensor.chunk[0] if self.tensor.chunk else block
        width = max(1, self.tensor.bytes_per_sample)
        unit = band if band % block == 0 and band * width <= self.room else block
        return unit * max(1, self.room // (unit * width))

    def checksums(self, first: int, rows: Array) -> list[int]:
        """The checksums of rows that begin with the row `first`, and that with a block.

        Raises:
            FormatError: they are not those that the file has.
        """
        size = self.known.rows_per_block
        found = block_checksums([rows], size)
        known = self.known.blocks[first // size :]
        for place, (one, other) in enumerate(zip(found, known, strict=False)):
            if one != other:
                start = first + place * size
                stop = min(start + size, first + len(rows))
                raise FormatError(
                    f"{self.name}: {self.tensor.dataset}: rows {start} to {stop - 1} differ from "
                    "their checksum"
                )
        return found


@dataclass(frozen=True)
class StoredRows:
    """Consecutive rows in chunks that are stored as they will be: decoded only where it must be.

    Attributes:
        source: the tensor's rows, which are in chunks.
        start, stop: which of them.
    """

    source: CheckedRows
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> "StoredRows":
        start, stop, _ = part.indices(len(self))
        return StoredRows(self.source, self.start + start, self.start + max(start, stop))

    def follows(self, other: object) -> bool:
        """Whether these rows come right after `other`."""
        return (
            isinstance(other, StoredRows)
            and other.source is self.source
            and other.stop == self.start
        )

    @property
    def is_band(self) -> bool:
        """Whether these are all rows of a band."""
        length = self.source.tensor.chunk[0]
        return self.start % length == 0 and self.stop in (self.start + length, self.source.count)

    def decoded(self) -> Array:
        """The rows.

        Raises:
            FormatError: they differ from their checksums, or cannot be decoded.
        """
        return self.source.between(self.start, self.stop)

    def taken_over(self) -> tuple[list[memoryview], list[int]]:
        """The chunks of a band as they are stored, and the checksums of its rows.

        Raises:
            FormatError: the rows differ from their checksums, or cannot be decoded.
        """
        source, rows = self.source, self.source.rows
        assert isinstance(rows, ChunkedRows)
        sums = source.checksums(self.start, rows.between(self.start, self.stop))
        return rows.encoded_band(self.start // source.tensor.chunk[0]), sums
