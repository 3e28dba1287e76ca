"""The file of a recording while its rows are read: opened once, so that all are of the same one.

Rows that the system has in memory are mapped, which costs no copy but the one that is wanted.
Others are read: a page that is missing from a mapping is waited for by itself, which takes a disk
two to ten times as long (benchmarks/RESULTS.md).
"""

import os
import weakref
from math import prod
from pathlib import Path

import numpy as np

from actscope.errors import FormatError
from actscope.protocol import Array

_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_CAN_READ_AT = hasattr(os, "preadv")
_ONLY_FROM_MEMORY = getattr(os, "RWF_NOWAIT", None)
_NOWHERE = [bytearray(1)]  # what is read into it nobody looks at


class OpenedFile:
    """A file that is open for reading, from any thread."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            FormatError: it cannot be opened.
        """
        self.path = path
        try:
            self.descriptor = os.open(path, _READ_ONLY)
        except OSError as error:
            raise FormatError(f"{path} cannot be read: {error.strerror}") from error
        self.close = weakref.finalize(self, os.close, self.descriptor)

    @property
    def size(self) -> int:
        """Its bytes at this moment."""
        return os.fstat(self.descriptor).st_size

    def is_at(self, descriptor: int) -> bool:
        """Whether another descriptor is of the very same file."""
        return os.path.samestat(os.fstat(self.descriptor), os.fstat(descriptor))

    def mapped(self, dtype: np.dtype[np.generic], offset: int, shape: tuple[int, ...]) -> Array:
        """Values as a view of the file; without elements an empty array.

        Raises:
            FormatError: the file does not hold them.
        """
        if prod(shape) == 0:
            return np.empty(shape, dtype)
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            try:
                return np.memmap(file, dtype, "r", offset, shape)
            except (OSError, ValueError) as error:
                raise FormatError(f"{self.path} is shorter than it was: {error}") from error

    def is_in_memory(self, offset: int, size: int) -> bool:
        """Whether the system has all of so many bytes in memory, as far as two of them tell."""
        if _ONLY_FROM_MEMORY is None:
            return False
        try:
            os.preadv(self.descriptor, _NOWHERE, offset, _ONLY_FROM_MEMORY)
            os.preadv(self.descriptor, _NOWHERE, offset + size - 1, _ONLY_FROM_MEMORY)
            return True
        except BlockingIOError:
            return False
        except OSError:  # the file system is in memory, or does not know the question
            return True

    def read(self, offset: int, values: Array) -> None:
        """Fill a C-contiguous array with what stands at a place.

        Raises:
            FormatError: the file does not hold so much.
        """
        rest = memoryview(values).cast("B") if values.size else memoryview(b"")
        if not _CAN_READ_AT:
            flat = self.mapped(np.dtype(np.uint8), offset, (len(rest),))
            np.copyto(np.frombuffer(rest, np.uint8), flat)
            return
        while len(rest):
            count = os.preadv(self.descriptor, [rest], offset)
            if not count:
                raise FormatError(f"{self.path} is shorter than it was: truncated")
            rest, offset = rest[count:], offset + count
