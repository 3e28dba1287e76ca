"""Finds the chunks of a finished recording: where HDF5 put them, as far as that can be believed."""

from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.dtypes import itemsize
from actscope.errors import FormatError
from actscope.store import guarded
from actscope.store.chunking import grid
from actscope.store.coverage import check_apart
from actscope.store.journal import Placed
from actscope.store.structure import StoredTensor


def read_places(path: Path, tensor: StoredTensor, rows: int) -> dict[int, Placed]:
    """Where each chunk of a tensor stands, by its number in C order.

    Raises:
        FormatError: chunks share bytes, reach beyond the file, or are fewer than `rows` rows need;
            or the dataset is not the one any more that was found when the recording was opened.
    """
    lengths = grid(tensor.shape, tensor.chunk[1:])
    where = f"{path}: {tensor.dataset}"
    places: dict[int, Placed] = {}
    size = path.stat().st_size if path.exists() else 0
    left = size

    def take(chunk: Any) -> None:
        nonlocal left
        if chunk.filter_mask:
            raise FormatError(
                f"{where}: filters were left out for the chunk at {chunk.chunk_offset}"
            )
        left -= chunk.size
        if left < 0 or chunk.size < 1:  # before a long list of them is kept
            raise FormatError(
                f"{where}: its chunks have more bytes than the file, or none: damaged"
            )
        index = [at // n for at, n in zip(chunk.chunk_offset, tensor.chunk, strict=True)]
        number = index[0] * prod(lengths)
        if lengths:
            number += int(np.ravel_multi_index(index[1:], lengths))
        places[number] = Placed(chunk.byte_offset, chunk.size)

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            dataset, chunk, pipeline = guarded.tensor_at(file, tensor.dataset, path)
            _check_same(dataset, (chunk, pipeline), tensor, rows, path)
            dataset.id.chunk_iter(take)
    except FormatError:
        raise
    except guarded.UNREADABLE as error:
        raise FormatError(f"{path}: the chunks of {tensor.dataset}: {error}") from error
    check_apart(where, places.values(), size)
    if len(places) < prod(grid((rows, *tensor.shape), tensor.chunk)):
        raise FormatError(
            f"{where} has {len(places):,} chunks, fewer than its {rows:,} rows of "
            f"shape {tensor.shape} need: it is damaged"
        )
    return places


def _check_same(
    dataset: h5py.Dataset,
    stored: tuple[tuple[int, ...], tuple[int, ...]],
    tensor: StoredTensor,
    rows: int,
    path: Path,
) -> None:
    """Refuse a dataset that was put in the place of the one that was looked at."""
    count, *shape = dataset.id.shape or (0,)
    width = dataset.id.get_type().get_size()
    found = (tuple(shape), width, *stored)
    if count < rows or found != (
        tensor.shape,
        itemsize(tensor.dtype),
        tensor.chunk,
        tensor.pipeline,
    ):
        raise FormatError(
            f"{path}: {tensor.dataset} has changed since it was opened: open it again"
        )
