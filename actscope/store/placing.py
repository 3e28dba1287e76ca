"""Finds the chunks of a finished recording: where HDF5 put them, as far as that can be believed."""

from collections.abc import Iterable
from math import prod

from actscope.dtypes import itemsize
from actscope.store import guarded
from actscope.store.chunking import grid
from actscope.store.coverage import check_apart
from actscope.store.hdf5.chunks import Chunk, chunks_of
from actscope.store.hdf5.content import Content
from actscope.store.hdf5.types import width_of
from actscope.store.journal import Placed
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure


def read_places(structure: Structure, tensor: StoredTensor) -> dict[int, Placed]:
    """Where each chunk of a tensor stands, by its number in C order.

    Raises:
        FormatError: chunks share bytes, reach beyond the file, or are fewer than the committed rows
            need; or the dataset is not the one any more that was found when the recording was
            opened.
    """
    rows = structure.rows
    with guarded.open_file(structure.file.path, structure.file) as root:
        content = root.content
        stored = guarded.tensor_at(root, tensor.dataset)
        _check_same(stored, tensor, rows)
        chunks = chunks_of(content, stored.offset, len(stored.shape), tensor.dataset)
        places = _placed(chunks, tensor, content)
    check_apart(f"{content.name}: {tensor.dataset}", places.values(), content.size)
    needed = prod(grid((rows, *tensor.shape), tensor.chunk))
    if len(places) < needed:
        raise content.damaged(
            f"{tensor.dataset} has {len(places):,} chunks, fewer than its {rows:,} rows of "
            f"shape {tensor.shape} need: it is damaged"
        )
    return places


def _placed(chunks: Iterable[Chunk], tensor: StoredTensor, content: Content) -> dict[int, Placed]:
    """The chunks by their number in C order, before many of them are kept that cannot be."""
    inner = grid(tensor.shape, tensor.chunk[1:])
    steps = [prod(inner[axis:]) for axis in range(len(inner) + 1)]
    places: dict[int, Placed] = {}
    left = content.size
    for chunk in chunks:
        index = [at // size for at, size in zip(chunk.start, tensor.chunk, strict=True)]
        number = sum(place * step for place, step in zip(index, steps, strict=True))
        left -= chunk.size
        if chunk.mask:
            problem = "was stored without some of its filters"
        elif left < 0 or chunk.size < 1:
            problem = "has no bytes, or more than the file: damaged"
        elif (
            number in places
            or any(at % size for at, size in zip(chunk.start, tensor.chunk, strict=True))
            or any(place >= length for place, length in zip(index[1:], inner, strict=True))
        ):
            problem = "is not where a chunk can be, or there twice: damaged"
        else:
            places[number] = Placed(chunk.offset, chunk.size)
            continue
        raise content.damaged(f"{tensor.dataset}: the chunk at {chunk.start} {problem}")
    return places


def _check_same(stored: guarded.Rows, tensor: StoredTensor, rows: int) -> None:
    """Refuse a dataset that was put in the place of the one that was looked at."""
    count, *shape = stored.shape or (0,)
    found = (tuple(shape), width_of(stored.dataset.type), stored.chunk, stored.pipeline)
    known = (tensor.shape, itemsize(tensor.dtype), tensor.chunk, tensor.pipeline)
    if count < rows or found != known:
        raise stored.dataset.content.damaged(
            f"{tensor.dataset} has changed since it was opened: open it again"
        )
