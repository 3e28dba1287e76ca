"""The HDF5 file under construction that takes encoded chunks: the library places them."""

import h5py
import numpy as np
from h5py._objects import phil

from actscope.store import space
from actscope.store.chunking import grid
from actscope.store.disk import filled_up
from actscope.store.journal import PlacedChunk
from actscope.store.layout import Surface
from actscope.store.schema import TensorPlan


def check_surface(surface: Surface) -> None:
    """Raise what the HDF5 library was not told of.

    Raises:
        DiskFullError: the disk filled up.
        OSError: writing failed otherwise.
    """
    if surface.error is None:
        return
    if space.is_full(surface.error):
        raise filled_up(surface.error) from surface.error
    raise surface.error


class ChunkedDataset:
    """A dataset of the file under construction that takes encoded chunks.

    Attributes:
        name: where it stands in the file.
    """

    def __init__(self, file: h5py.File, tensor: TensorPlan) -> None:
        self.name = f"/{tensor.dataset}"
        self._id = file[tensor.dataset].id
        self._chunk = tensor.chunk
        self._lengths = grid(tensor.shape, tensor.chunk[1:])
        self._rows = self._id.shape[0]

    def place(self, number: int, content: memoryview) -> PlacedChunk:
        """Hand a chunk to the library, by its number in C order; returns where it came to lie."""
        index = np.unravel_index(number, (number + 1, *self._lengths))
        offset = tuple(int(place) * size for place, size in zip(index, self._chunk, strict=True))
        if offset[0] >= self._rows:  # the number of rows turns out at the end
            # One row will do, and what is never made smaller is never decoded by the library.
            self._rows = offset[0] + 1
            self._id.set_extent((self._rows, *self._id.shape[1:]))
        with phil:  # h5py before 3.16 leaves its lock out here (its pull request 2764)
            self._id.write_direct_chunk(offset, content)
        where = self._id.get_chunk_info_by_coord(offset).byte_offset
        return PlacedChunk(self.name, number, where, len(content))
