"""Reads rows of a tensor as they are stored: where they lie one after another, or from chunks.

Whatever NumPy takes as an index works on both; of chunks only those are decoded that it needs.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from actscope.dtypes import itemsize, raw_dtype, widened_dtype
from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store.chunking import grid
from actscope.store.codecs import decode
from actscope.store.contiguous import ContiguousRows
from actscope.store.coverage import tails_from
from actscope.store.journal import Journal, Placed
from actscope.store.placing import read_places
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure

CHUNKS_WORTH_THREADS = 4

DECODING_BYTES = 96 * 2**20
"""What decoding may take in memory, beside what comes out; a chunk needs three times its size."""

ALWAYS_READ = 64 * 2**20
LARGEST_EXPANSION = 64
"""More than `ALWAYS_READ` bytes are not decoded at once of a file that is this much smaller:
a few kilobytes of a hostile file decode to all of the memory."""


class Rows(Protocol):
    """The committed rows of one tensor, in the dtype in which they are stored."""

    def __getitem__(self, key: Any, /) -> Array:
        """What NumPy gives for the index, in memory of its own."""

    def between(self, start: int, stop: int) -> Array:
        """Consecutive rows, which may be a view of the file."""


def open_rows(path: Path, structure: Structure, tensor: StoredTensor) -> Rows:
    """The rows of a tensor of the recording at `path`."""
    if tensor.chunk:
        return ChunkedRows(path, tensor, structure)
    return ContiguousRows(structure.file, tensor, structure.rows)


@dataclass(frozen=True)
class ChunkedRows:
    """Rows in chunks, which are decoded by a few threads when they are asked for."""

    path: Path
    tensor: StoredTensor
    structure: Structure

    @cached_property
    def _places(self) -> dict[int, Placed]:
        """Where each chunk stands, by its number in C order."""
        journal = self.structure.journal
        if journal is not None:
            return journal.chunks.get(self.tensor.dataset, {})
        return read_places(self.structure, self.tensor)

    @cached_property
    def _tail(self) -> tuple[int, Array]:
        """The first of the rows that no chunk holds yet, and these rows."""
        journal, count = self.structure.journal, self.structure.rows
        first = count if journal is None else count - count % self.tensor.chunk[0]
        if journal is None or first == count:
            return count, np.empty((0, *self.tensor.shape), raw_dtype(self.tensor.dtype))
        return first, tail_rows(journal, self.tensor, first)

    @cached_property
    def _recent(self) -> dict[tuple[int, ...], Array]:
        """The chunk that was decoded last: samples are often asked for one after another."""
        return {}

    def between(self, start: int, stop: int) -> Array:
        """Consecutive rows, decoded; those of a single chunk are not copied out of it."""
        length = self.tensor.chunk[0]
        band = start // length
        within = start < stop <= min((band + 1) * length, self._tail[0])
        if within and self.tensor.chunk[1:] == self.tensor.shape:
            self._check_size((stop - start) * self.tensor.bytes_per_sample)
            chunk = self._chunk((band, *[0] * len(self.tensor.shape)))
            return chunk[start - band * length : stop - band * length]
        everything = [range(length) for length in self.tensor.shape]
        return self._gathered(np.arange(start, stop), everything)

    def __getitem__(self, key: Any) -> Array:
        count = self.structure.rows
        parts = _expanded(key, 1 + len(self.tensor.shape))
        if parts is None:  # a new axis, or a mask of several axes: as NumPy has it, of everything
            return np.array(self.between(0, count)[key])
        rows, first = _row_index(parts[0], count)
        inner = [_reach(part, n) for part, n in zip(parts[1:], self.tensor.shape, strict=True)]
        gathered = self._gathered(rows, [reach for reach, _ in inner])
        return np.asarray(gathered[(first, *(part for _, part in inner))], order="C")

    def _gathered(self, rows: Array, reach: Sequence[range]) -> Array:
        """The rows with these numbers, of them the part within `reach`: `(len(rows), ...)`."""
        shape = tuple(map(len, reach))
        self._check_size(len(rows) * prod(shape) * widened_dtype(self.tensor.dtype).itemsize)
        out = np.empty((len(rows), *shape), raw_dtype(self.tensor.dtype))
        if out.size == 0:
            return out
        first, tail = self._tail
        inner = [slice(r.start, r.stop) for r in reach]
        in_tail = rows >= first
        out[in_tail] = tail[rows[in_tail] - first][(slice(None), *inner)]
        length = self.tensor.chunk[0]
        tasks = [
            (band, wanted, place)
            for band, wanted in _by_band(np.flatnonzero(~in_tail), rows, length)
            for place in np.ndindex(*self._reached(reach))
        ]

        def fill(task: tuple[int, Array, tuple[int, ...]]) -> None:
            band, wanted, place = task
            self._fill(out, wanted, rows[wanted] - band * length, (band, *place), reach)

        width = prod(self.tensor.chunk) * itemsize(self.tensor.dtype)
        threads = min(os.cpu_count() or 1, DECODING_BYTES // (3 * width))
        if len(tasks) < CHUNKS_WORTH_THREADS or threads < 2:
            for task in tasks:
                fill(task)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, tasks))
        return out

    def _check_size(self, wanted: int) -> None:
        """Look at what the file stores before anything is made of the size that it declares."""
        _ = self._places
        stored = self.structure.file.size
        if wanted > ALWAYS_READ + LARGEST_EXPANSION * stored:
            raise FormatError(
                f"{self.path}: {self.tensor.dataset} would decode to {wanted:,} bytes, from a file "
                f"of {stored:,}: where that is right, read fewer rows at once"
            )

    def _reached(self, reach: Sequence[range]) -> list[int]:
        """Along each inner axis, how many chunks the reach touches."""
        sizes = self.tensor.chunk[1:]
        return [-(-r.stop // size) - r.start // size for r, size in zip(reach, sizes, strict=True)]

    def _fill(
        self,
        out: Array,
        wanted: Array,
        local: Array,
        place: tuple[int, ...],
        reach: Sequence[range],
    ) -> None:
        """Copy of one chunk what is wanted of it: its rows `local` go to the rows `wanted`.

        `place` is its band, and how many chunks it lies from the first that the reach touches.
        """
        sizes = self.tensor.chunk[1:]
        index = [p + r.start // size for p, r, size in zip(place[1:], reach, sizes, strict=True)]
        chunk = self._chunk((place[0], *index))
        source, target = [], []
        for number, size, r in zip(index, sizes, reach, strict=True):
            low, high = max(r.start, number * size), min(r.stop, (number + 1) * size)
            source.append(slice(low - number * size, high - number * size))
            target.append(slice(low - r.start, high - r.start))
        rows = _as_slice(local)
        out[(_as_slice(wanted), *target)] = chunk[(rows, *source)]

    def _chunk(self, index: tuple[int, ...]) -> Array:
        recent = self._recent.get(index)
        if recent is not None:
            return recent
        tensor = self.tensor
        grid_inner = grid(tensor.shape, tensor.chunk[1:])
        number = index[0] * prod(grid_inner)
        if grid_inner:
            number += int(np.ravel_multi_index(index[1:], grid_inner))
        stored = self._stored(number)
        self._recent.clear()  # first, since it can be large
        try:
            chunk = decode(stored, tensor.pipeline, tensor.chunk, raw_dtype(tensor.dtype))
        except FormatError as error:
            raise FormatError(f"{self._chunk_name(number)}: {error}") from error
        self._recent[index] = chunk
        return chunk

    def _chunk_name(self, number: int) -> str:
        return f"{self.path}: {self.tensor.dataset}, chunk {number}"

    def _stored(self, number: int) -> memoryview:
        """The bytes of one chunk as they are stored, by its number in C order."""
        placed = self._places.get(number)
        if placed is None:
            raise FormatError(
                f"{self._chunk_name(number)}: it is not there, though its rows are committed: "
                "damaged"
            )
        stored = np.empty(placed.size, np.uint8)
        try:
            self.structure.file.read(placed.offset, stored)
        except FormatError as error:
            raise FormatError(f"{self._chunk_name(number)}: {error}") from error
        return memoryview(stored)

    def encoded_band(self, band: int) -> list[memoryview]:
        """The chunks of as many rows as a chunk is long, as they are stored.

        Raises:
            FormatError: one is not there.
        """
        chunks = prod(grid(self.tensor.shape, self.tensor.chunk[1:]))
        return [self._stored(band * chunks + place) for place in range(chunks)]


def tail_rows(journal: Journal, tensor: StoredTensor, first: int) -> Array:
    """The committed rows from `first` on, which the journal holds.

    Raises:
        FormatError: it does not hold all of them.
    """
    dtype = raw_dtype(tensor.dtype)
    rows = np.empty((journal.rows - first, *tensor.shape), dtype)
    for tail in tails_from(journal, tensor, first):
        content = journal.content[tail.position : tail.position + tail.size]
        place = tail.first - first
        rows[place : place + tail.rows] = np.frombuffer(content, dtype).reshape(
            tail.rows, *tensor.shape
        )
    return rows


def _by_band(wanted: Array, rows: Array, length: int) -> Iterator[tuple[int, Array]]:
    """Every band that holds some of the rows, with the places in `rows` that it fills."""
    bands = rows[wanted] // length
    order = np.argsort(bands, kind="stable")
    ends = np.flatnonzero(np.diff(bands[order])) + 1
    for places in np.split(order, ends) if len(order) else ():
        yield int(bands[places[0]]), wanted[places]


def _expanded(key: Any, axes: int) -> list[Any] | None:
    """One index per axis; None where there are new axes, or masks of several axes."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(part is None or isinstance(part, bool) or np.ndim(part) > 1 for part in parts):
        return None
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    missing = axes - (len(parts) - len(dots))
    if len(dots) > 1 or missing < 0:
        raise IndexError(f"too many indices for an array of {axes} axes: {key!r}")
    place = dots[0] if dots else len(parts)
    return [*parts[:place], *[slice(None)] * missing, *parts[place + len(dots) :]]


def _row_index(part: Any, count: int) -> tuple[Array, Any]:
    """The numbers of the rows to read, and the index to apply to what was read of them."""
    rows = np.arange(count)[part]  # raises IndexError as NumPy does
    if rows.ndim == 0:
        return rows.reshape(1), 0
    if isinstance(part, slice):
        return rows, slice(None)
    unique, places = np.unique(rows, return_inverse=True)
    return unique, places


def _reach(part: Any, length: int) -> tuple[range, Any]:
    """What of an inner axis has to be read, and the index to apply to that."""
    if isinstance(part, slice):
        taken = range(length)[part]
        if taken.step == 1 and len(taken):
            return taken, slice(None)
    elif isinstance(part, int | np.integer) and -length <= part < length:
        place = int(part) % length
        return range(place, place + 1), 0
    return range(length), part


def _as_slice(numbers: Array) -> Any:
    """Consecutive numbers as a slice, which is copied faster."""
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == len(numbers) and (np.diff(numbers) == 1).all():
        return slice(first, last + 1)
    return numbers
