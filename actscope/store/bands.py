"""Gathers the rows of one tensor until they fill a band, and has its chunks encoded by threads."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from actscope.protocol import Array
from actscope.store.checked_rows import StoredRows
from actscope.store.checksums import block_checksums, rows_per_block
from actscope.store.chunking import chunk_at, places
from actscope.store.codecs import encode
from actscope.store.schema import TensorPlan

Part = Array | StoredRows
"""Rows `(n, *shape)`, C-contiguous, or what stands for them in another recording."""


@dataclass
class OpenBand:
    """The rows of a tensor that no chunk holds yet.

    Attributes:
        tensor: the tensor.
        number: of the band, from 0.
        parts: the rows, a few arrays one after another.
        rows: how many these are.
    """

    tensor: TensorPlan
    number: int = 0
    parts: list[Part] = field(default_factory=list)
    rows: int = 0

    @property
    def missing(self) -> int:
        """How many rows complete the band."""
        return self.tensor.chunk[0] - self.rows

    def add(self, part: Part) -> None:
        """Take in rows, at most as many as are missing."""
        before = self.parts[-1] if self.parts else None
        if isinstance(part, StoredRows) and isinstance(before, StoredRows) and part.follows(before):
            self.parts[-1] = StoredRows(part.source, before.start, part.stop)
        else:
            self.parts.append(part)
        self.rows += len(part)

    def last(self, count: int) -> list[Array]:
        """The last so many rows, in a few arrays."""
        found: list[Array] = []
        for part in reversed(self.parts):
            if count <= 0:
                break
            wanted = part[-count:] if len(part) > count else part
            found.append(decoded(wanted))
            count -= len(wanted)
        return found[::-1]

    def full_blocks(self) -> list[int]:
        """The checksums of the blocks of which all rows are there."""
        size = rows_per_block(self.tensor)
        if self.rows < size:
            return []
        return block_checksums(self.last(self.rows), size)[: self.rows // size]

    def encode(self, codec: str, threads: Executor, many: int) -> "BandUnderWay":
        """Have the band encoded, by `many` threads where it has as many chunks; begin the next."""
        number, parts = self.number, self.parts
        self.number, self.parts, self.rows = number + 1, [], 0
        first = parts[0]
        if isinstance(first, StoredRows) and len(parts) == 1 and first.is_band:
            return BandUnderWay(number, [threads.submit(_taken_over, first)])
        arrays = [decoded(part) for part in parts]
        every = list(places(self.tensor.shape, self.tensor.chunk))
        step = -(-len(every) // many)
        tasks = [
            threads.submit(_encoded, arrays, self.tensor, codec, every[start : start + step])
            for start in range(0, len(every), step)
        ]
        return BandUnderWay(number, tasks)


@dataclass(frozen=True)
class Encoded:
    """Chunks in C order of their places, and the checksums of the rows where they were found."""

    chunks: list[memoryview]
    checksums: list[int]


@dataclass(frozen=True)
class BandUnderWay:
    """A band that is being encoded, in a few pieces."""

    number: int
    pieces: list[Future[Encoded]]

    @property
    def is_done(self) -> bool:
        """Whether it need not be waited for."""
        return all(piece.done() for piece in self.pieces)

    def result(self) -> Encoded:
        """All of its chunks, waited for; raises what went wrong."""
        pieces = [piece.result() for piece in self.pieces]
        chunks = [chunk for piece in pieces for chunk in piece.chunks]
        return Encoded(chunks, pieces[0].checksums)


def decoded(part: Part) -> Array:
    """Rows as an array, whatever stands for them."""
    return part.decoded() if isinstance(part, StoredRows) else part


def _taken_over(rows: StoredRows) -> Encoded:
    return Encoded(*rows.taken_over())


def _encoded(
    parts: Sequence[Array], tensor: TensorPlan, codec: str, wanted: Sequence[tuple[slice, ...]]
) -> Encoded:
    """Some of a band's chunks; with the first of them the checksums of all of its rows."""
    is_first = all(part.start == 0 for part in wanted[0])
    sums = block_checksums(parts, rows_per_block(tensor)) if is_first else []
    return Encoded([encode(chunk_at(parts, tensor.chunk, place), codec) for place in wanted], sums)
