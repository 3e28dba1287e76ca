"""Finds the chunks of a finished recording: where HDF5 put them, as far as that can be believed."""

from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.errors import FormatError
from actscope.store import guarded
from actscope.store.chunking import grid
from actscope.store.journal import Placed
from actscope.store.structure import StoredTensor


def read_places(path: Path, tensor: StoredTensor, rows: int) -> dict[int, Placed]:
    """Where each chunk of a tensor stands, by its number in C order.

    Raises:
        FormatError: chunks share bytes, reach beyond the file, or are fewer than `rows` rows need.
    """
    lengths = grid((1, *tensor.shape), tensor.chunk)[1:]
    places: dict[int, Placed] = {}
    size = path.stat().st_size

    def take(chunk: Any) -> None:
        if chunk.filter_mask:
            raise FormatError(f"{path}: a chunk of {tensor.dataset} leaves out filters")
        index = [at // n for at, n in zip(chunk.chunk_offset, tensor.chunk, strict=True)]
        number = index[0] * prod(lengths)
        if lengths:
            number += int(np.ravel_multi_index(index[1:], lengths))
        places[number] = Placed(chunk.byte_offset, chunk.size)

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            layer, _, name = tensor.dataset.rpartition("/")
            group = guarded.group_at(file, layer, path)
            dataset, chunk, pipeline = guarded.tensor_dataset(group, name, path)
            same = (dataset.id.shape[1:], chunk, pipeline) == (
                tensor.shape,
                tensor.chunk,
                tensor.pipeline,
            )
            if not same:
                raise FormatError(f"{path}: {tensor.dataset} has changed since it was opened")
            dataset.id.chunk_iter(take)
    except FormatError:
        raise
    except guarded.UNREADABLE as error:
        raise FormatError(f"{path}: the chunks of {tensor.dataset}: {error}") from error
    _check(path, tensor, places, size)
    if len(places) < prod(grid((rows, *tensor.shape), tensor.chunk)):
        raise FormatError(
            f"{path}: {tensor.dataset} has {len(places):,} chunks, fewer than its {rows:,} rows of "
            f"shape {tensor.shape} need: it is damaged"
        )
    return places


def _check(path: Path, tensor: StoredTensor, places: dict[int, Placed], size: int) -> None:
    ordered = sorted((placed.offset, placed.offset + placed.size) for placed in places.values())
    if ordered and ordered[-1][1] > size:
        raise FormatError(f"{path}: a chunk of {tensor.dataset} reaches beyond the end: truncated")
    if any(start < end for (_, end), (start, _) in pairwise(ordered)):
        raise FormatError(f"{path}: chunks of {tensor.dataset} share bytes: it is damaged")
