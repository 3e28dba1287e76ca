"""Arrays of `(n, positions, C, inner)` reduced to samples and channels, as fast as NumPy can.

The channels are on the third axis; `inner` is what comes after them.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]

_ELEMENTS_PER_PIECE = 2**18  # fits into the cache of a core, in single and double precision
_WIDEST_FOLD = 2048


def pieces(rows: int, positions: int, width: int) -> list[tuple[slice, slice]]:
    """Slices of rows and of positions, with about as many elements as fit into the cache."""
    many = _power_of_two(_ELEMENTS_PER_PIECE // (positions * width))
    along = _power_of_two(_ELEMENTS_PER_PIECE // width) if many == 1 else positions
    return [
        (slice(row, row + many), slice(start, start + along))
        for row in range(0, rows, many)
        for start in range(0, positions, along)
    ]


def _power_of_two(most: int) -> int:
    """The largest one up to `most`, or 1: it has the divisors that `along_rows` looks for."""
    return 1 << max(0, most.bit_length() - 1)


def computed_in(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """float32 where it holds every value of `dtype`, as those of bfloat16, else float64."""
    return np.float32 if dtype.kind == "V" or np.can_cast(dtype, np.float32) else np.float64


def of_samples(function: np.ufunc, values: Rows) -> Rows:
    """`(n, positions, C, inner)` reduced to `(n, C)`."""
    if values.shape[3] > 1:
        return np.asarray(function.reduce(function.reduce(values, axis=3), axis=1))
    return along_rows(function, values[..., 0])


def of_channels(function: np.ufunc, values: Rows, dtype: npt.DTypeLike | None = None) -> Rows:
    """`(n, positions, C, inner)` reduced to `(C,)`, of the same dtype or computed in another."""
    if values.shape[3] > 1:
        values = function.reduce(values, axis=3, dtype=dtype)
    return along_rows(function, values.reshape(-1, values.shape[2]), dtype)


def along_rows(function: np.ufunc, table: Rows, dtype: npt.DTypeLike | None = None) -> Rows:
    """`(..., rows, C)` reduced to `(..., C)`.

    Where channels are few, several rows are taken together, since it is many neighbours in memory
    that make a reduction fast; then fewer of them, until one is left.
    """
    *outer, rows, channels = table.shape
    while rows > 1:
        fold = _fold(max(1, rows // 4), rows, channels)
        table = table.reshape(*outer, rows // fold, fold * channels)
        table = function.reduce(table, axis=-2, dtype=dtype)
        rows = fold
    return np.asarray(table.reshape(*outer, channels), dtype)


@lru_cache(maxsize=1024)
def _fold(most: int, rows: int, channels: int) -> int:
    """How many rows to take together: the largest divisor of their number that is no more."""
    most = max(1, min(most, _WIDEST_FOLD // channels))
    return next(fold for fold in range(most, 0, -1) if rows % fold == 0)


def less(values: Rows, center: Rows) -> Rows:
    """`(n, positions, C, inner)` less the center of each channel, in its dtype."""
    rows, channels = values.shape[0] * values.shape[1], len(center)
    if values.shape[3] > 1:
        return np.subtract(values, center[:, np.newaxis], dtype=center.dtype)
    fold = _fold(rows, rows, channels)
    wide = values.reshape(rows // fold, fold * channels)
    apart: Rows = np.subtract(wide, np.tile(center, fold), dtype=center.dtype)
    return apart.reshape(values.shape)


def sums_of_squares(squares: Rows) -> Floats:
    """`(n, positions, C, inner)` summed up to `(C,)`; in single precision first eight at a time."""
    rows = squares.shape[0] * squares.shape[1]
    if squares.dtype == np.float32 and squares.shape[3] == 1 and rows % 8 == 0:
        parts = squares.reshape(8, rows // 8, squares.shape[2])
        squares = np.add.reduce(parts, axis=0)[np.newaxis, ..., np.newaxis]
    return of_channels(np.add, squares, np.float64)


def counted(marked: npt.NDArray[np.bool_]) -> Integers:
    """How many are marked in each channel of `(n, positions, C, inner)`."""
    *_, channels, inner = marked.shape
    if inner > 1:
        return np.asarray(np.count_nonzero(marked, axis=(0, 1, 3)), np.int64)
    table = marked.view(np.uint8).reshape(-1, channels)
    fold = _fold(len(table), len(table), channels)
    narrow = np.uint8 if len(table) // fold <= 255 else np.uint32
    folded = np.add.reduce(table.reshape(-1, fold * channels), axis=0, dtype=narrow)
    return np.asarray(np.add.reduce(folded.reshape(fold, channels), axis=0, dtype=np.int64))
