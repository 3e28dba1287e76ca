"""Takes the file of chunks of an unfinished run up where it is, without copying a chunk.

What the HDF5 library knew of it died with the process. It is told again: the same file is laid out,
and every committed chunk handed over in the order in which they came, while all that is written
stays in memory. The library puts the same things to the same places. Where each chunk came to lie
where it is, the rest is written around them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from actscope.store import layout
from actscope.store.chunked_file import ChunkedDataset
from actscope.store.journal import Journal
from actscope.store.layout import Surface
from actscope.store.schema import RecordingPlan

PAGE = 2**12


class RecalledSurface(Surface):
    """A surface over chunks that are there: what else is written is kept until `settle`."""

    def __init__(self, descriptor: int, chunks: Mapping[int, int]) -> None:
        """Write to the file `descriptor`, which has chunks: the offset and size of each."""
        super().__init__(descriptor)
        self._chunks = chunks
        self._is_settled = False
        self._writes: list[tuple[int, bytes]] = []
        self._pages: dict[int, bytearray] = {}
        self._place = self._size = 0

    def settle(self) -> None:
        """Write what was kept; from now on everything is written at once."""
        self._is_settled = True
        for offset, content in self._writes:
            self.seek(offset)
            self.write(content)
        self._writes, self._pages = [], {}

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, from the beginning, or from the end where `whence` is 2."""
        if self._is_settled:
            return super().seek(offset, whence)
        self._place = offset + (self._size if whence == 2 else 0)
        return self._place

    def tell(self) -> int:
        """The place."""
        return super().tell() if self._is_settled else self._place

    def truncate(self, size: int | None = None, /) -> int:
        """Change the size."""
        if self._is_settled:
            return super().truncate(size)
        self._size = self._place if size is None else size
        return self._size

    def write(self, data: Any, /) -> int:
        """Write all of it, or keep it unless it is a chunk that is there."""
        if self._is_settled:
            return super().write(data)
        content = memoryview(data).cast("B")
        if self._chunks.get(self._place) != len(content):
            self._writes.append((self._place, bytes(content)))
            for page, within, part in self._parts(len(content)):
                kept = self._pages.setdefault(page, bytearray(PAGE))
                kept[within] = content[part]
        self._place += len(content)
        self._size = max(self._size, self._place)
        return len(content)

    def readinto(self, buffer: Any, /) -> int:
        """Read what was written, zeros where nothing was."""
        if self._is_settled:
            return super().readinto(buffer)
        content = memoryview(buffer).cast("B")
        for page, within, part in self._parts(len(content)):
            content[part] = self._pages.get(page, bytes(PAGE))[within]
        self._place += len(content)
        return len(content)

    def _parts(self, size: int) -> Iterator[tuple[int, slice, slice]]:
        """The pages of so many bytes from the place on: number, what of it, what of the bytes."""
        start, stop = self._place, self._place + size
        for page in range(start // PAGE, -(-stop // PAGE)):
            low, high = max(start, page * PAGE), min(stop, (page + 1) * PAGE)
            within = slice(low - page * PAGE, high - page * PAGE)
            yield page, within, slice(low - start, high - start)


def recall(
    descriptor: int, plan: RecordingPlan, journal: Journal
) -> tuple[Surface, h5py.File] | None:
    """Open the file of an unfinished run's chunks so that more of them can be placed.

    Returns:
        What the library writes it through, and the file; None where the library, which may be
        another version, would not put each chunk where it is.
    """
    chunks = {
        placed.offset: placed.size for table in journal.chunks.values() for placed in table.values()
    }
    if len(journal.order) != len(chunks):
        return None
    surface = RecalledSurface(descriptor, chunks)
    file = layout.create_chunked(surface, plan)
    datasets = {f"/{tensor.dataset}": ChunkedDataset(file, tensor) for tensor in plan.tensors}
    for name, number in journal.order:
        placed = datasets[name].place(number, journal.chunk(name, number))
        if placed.offset != journal.chunks[name][number].offset:
            file.close()
            return None
    surface.settle()
    return surface, file
