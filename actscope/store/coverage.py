"""Checks that the chunks and rows that a file speaks of are there, apart, and within it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from actscope.errors import FormatError
from actscope.store.chunking import grid
from actscope.store.journal import Journal, Placed, Tail

if TYPE_CHECKING:
    from actscope.store.stored_tensors import StoredTensor


def check_apart(where: str, places: Iterable[Placed], size: int) -> None:
    """Refuse chunks that are empty, share bytes, or reach beyond the `size` bytes of their file.

    Raises:
        FormatError: they do.
    """
    ordered = sorted((placed.offset, placed.offset + placed.size) for placed in places)
    if ordered and ordered[-1][1] > size:
        raise FormatError(f"{where}: a chunk reaches beyond the end of the file: truncated")
    if any(start == end for start, end in ordered):
        raise FormatError(f"{where}: a chunk has no bytes: it is damaged")
    if any(start < end for (_, end), (start, _) in pairwise(ordered)):
        raise FormatError(f"{where}: chunks share bytes: it is damaged")


def check_journal(where: str, journal: Journal, tensors: Sequence["StoredTensor"]) -> None:
    """Refuse a journal that does not hold, or lead to, all rows that it says are committed.

    Raises:
        FormatError: a chunk or a row is missing, or chunks are where they cannot be.
    """
    for tensor in tensors:
        if not tensor.chunk:
            raise FormatError(f"{where}: {tensor.dataset} is not in chunks, as its journal demands")
        whole = journal.rows // tensor.chunk[0]
        needed = whole * prod(grid(tensor.shape, tensor.chunk[1:]))
        placed = journal.chunks.get(tensor.dataset, {})
        found = sum(1 for number in placed if number < needed)
        if found < needed:
            raise FormatError(
                f"{where}: {tensor.dataset} has {found:,} of the {needed:,} chunks that its "
                f"{journal.rows:,} rows need: the journal is damaged"
            )
        for _ in tails_from(journal, tensor, whole * tensor.chunk[0]):
            pass
    places = [place for table in journal.chunks.values() for place in table.values()]
    check_apart(where, places, len(journal.encoded))


def tails_from(journal: Journal, tensor: "StoredTensor", first: int) -> Iterator[Tail]:
    """The parts of the journal that hold a tensor's committed rows from `first` on, in order.

    Raises:
        FormatError: they do not hold all of them.
    """
    known = first
    for tail in journal.tails:
        if tail.dataset != tensor.dataset or tail.first + tail.rows <= first:
            continue
        fits = first <= tail.first <= known and tail.first + tail.rows <= journal.rows
        if not fits or tail.size != tail.rows * tensor.bytes_per_sample:
            break
        known = max(known, tail.first + tail.rows)
        yield tail
    if known < journal.rows:
        raise FormatError(
            f"{journal.path}: {tensor.dataset} lacks rows that are committed: damaged"
        )
