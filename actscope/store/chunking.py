"""How a tensor's rows are cut into chunks, and put together again. Pure.

A *band* is as many rows as a chunk is long: it is complete with all of its chunks, one after
another in C order of their places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from actscope.axes import channel_axis
from actscope.dtypes import itemsize
from actscope.errors import DataError
from actscope.store.checksums import BLOCK_BYTES, rows_per_block
from actscope.store.codecs import CODECS, NONE
from actscope.store.schema import RecordingPlan, TensorPlan

SAMPLE = "sample"
CHANNEL = "channel"
LAYOUTS = (SAMPLE, CHANNEL)

LARGEST_CHUNK = 32 * 2**20
"""A single sample that is larger is cut in pieces of at most this many bytes."""

BAND_BYTES = 32 * 2**20
"""What a band of the layout by channels may take in memory until it is complete."""

ALL_BANDS_BYTES = 512 * 2**20
"""What the bands of all tensors may take together: of many they are shorter."""

CHANNEL_CHUNK = 2**18
"""Channels share a chunk until it has about as many bytes."""


def chunk_shape(
    tensor: TensorPlan, layout: str, samples: int | None, tensors: int = 1
) -> tuple[int, ...]:
    """The shape of a chunk, rows first, for one of so many tensors with a row per sample.

    By samples, a chunk holds whole samples, as many as a block of the checksums. By channels it
    holds few channels of many samples, for those who read one channel over all samples. Bands
    always begin with a block.
    """
    by_channel = layout == CHANNEL and tensor.shape and tensor.bytes_per_sample
    shape = _by_channel(tensor, room_for_band(tensors)) if by_channel else _by_sample(tensor)
    return (min(shape[0], samples or shape[0]), *shape[1:])


def room_for_band(tensors: int) -> int:
    """What one band of so many tensors may take in memory."""
    return min(BAND_BYTES, ALL_BANDS_BYTES // max(1, tensors))


def stored_as(plan: RecordingPlan, codec: str | None, layout: str) -> RecordingPlan:
    """The same recording, in chunks where codec, layout or an unknown length demand it.

    Raises:
        DataError: there is no such codec or layout, or a tensor has no values to put into chunks.
    """
    if codec is not None and codec not in CODECS:
        raise DataError(f"codec={codec!r}: choose {', '.join(map(repr, CODECS))}")
    if codec in (None, NONE) and layout == SAMPLE and not plan.is_open_ended:
        return plan
    samples = None if plan.is_open_ended else plan.samples
    return replace(plan, tensors=in_chunks(plan.tensors, layout, samples), codec=codec or NONE)


def in_chunks(
    tensors: Sequence[TensorPlan], layout: str, samples: int | None
) -> tuple[TensorPlan, ...]:
    """The same datasets, stored in chunks; `samples` is None where it is not known.

    Raises:
        DataError: the layout is unknown, or a tensor has no values to put into chunks.
    """
    if layout not in LAYOUTS:
        raise DataError(f"layout={layout!r}: choose {' or '.join(map(repr, LAYOUTS))}")
    for tensor in tensors:
        if not tensor.bytes_per_sample:
            raise DataError(
                f"{tensor.dataset} has no values, shape {tensor.shape}: leave it out, or store "
                "without codec, layout and with samples="
            )
    return tuple(
        replace(tensor, chunk=chunk_shape(tensor, layout, samples, len(tensors)))
        for tensor in tensors
    )


def _by_sample(tensor: TensorPlan) -> tuple[int, ...]:
    inner = [max(1, length) for length in tensor.shape]
    for axis in range(len(inner)):
        while prod(inner) * itemsize(tensor.dtype) > LARGEST_CHUNK and inner[axis] > 1:
            inner[axis] = -(-inner[axis] // 2)
    return (rows_per_block(tensor), *inner)


def _by_channel(tensor: TensorPlan, band_bytes: int) -> tuple[int, ...]:
    axis = channel_axis(tensor.axes)
    if axis is None:
        return _by_sample(tensor)
    channels = tensor.shape[axis]
    bytes_per_channel = tensor.bytes_per_sample // channels
    block = rows_per_block(tensor)
    rows = min(-(-BLOCK_BYTES // bytes_per_channel), band_bytes // tensor.bytes_per_sample)
    rows = max(1, rows // block) * block  # an open block of the checksums is in the open band
    together = max(1, min(channels, CHANNEL_CHUNK // (rows * bytes_per_channel)))
    return (rows, *(together if place == axis else n for place, n in enumerate(tensor.shape)))


def grid(shape: Sequence[int], chunk: Sequence[int]) -> tuple[int, ...]:
    """How many chunks lie along each axis of an array."""
    return tuple(-(-length // size) for length, size in zip(shape, chunk, strict=True))


def places(inner: Sequence[int], chunk: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The chunks of one band, as slices of a row of shape `inner`."""
    sizes = chunk[1:]
    for place in np.ndindex(grid(inner, sizes)):
        yield tuple(
            slice(index * size, min((index + 1) * size, length))
            for index, size, length in zip(place, sizes, inner, strict=True)
        )


def chunk_at(
    parts: Sequence[npt.NDArray[np.generic]], chunk: tuple[int, ...], place: tuple[slice, ...]
) -> npt.NDArray[np.generic]:
    """One chunk of a band whose rows stand in a few arrays `(n, *shape)` one after another.

    Returns:
        The chunk, C-contiguous, filled up with zeros over an edge; no copy where none is needed.
    """
    pieces = [part[(slice(None), *place)] for part in parts]
    if len(pieces) == 1 and pieces[0].shape == chunk:
        return np.ascontiguousarray(pieces[0])
    inner = pieces[0].shape[1:]
    is_whole = (sum(map(len, pieces)), *inner) == chunk
    filled = (np.empty if is_whole else np.zeros)(chunk, parts[0].dtype)
    first = 0
    for piece in pieces:
        filled[(slice(first, first + len(piece)), *map(slice, inner))] = piece
        first += len(piece)
    return filled
