"""The bytes of a file that anyone may have written: within its bounds, and not endlessly often."""

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from actscope.errors import FormatError

BLOCK = 2**13
"""Bytes that are read at once: structures are small, and those of a layer stand together."""

KEPT_BLOCKS = 4096

READ_AGAIN = 2
SPARE = 2**20
MOST = 2**30
"""Bytes that are read of structures: at most so many times the file's size and some more."""

LARGEST = 2**26
"""Bytes of a single structure."""


class Content:
    """The bytes of an HDF5 file, or of the image of one.

    In a sound file no two structures share bytes. So what is read of them is counted, and a file of
    which much more is asked for than it has is refused: its structures lead round in circles, or
    many of them stand in one place.

    Attributes:
        name: of the file, for messages.
        size: in bytes.
        heaps: the texts of the collections that were looked at, by their place.
    """

    def __init__(self, file: BinaryIO, name: str | Path) -> None:
        self.name = str(name)
        self.size = file.seek(0, 2)
        self.heaps: dict[int, dict[int, bytes]] = {}
        self._file = file
        self._blocks: dict[int, bytes] = {}
        self._left = min(READ_AGAIN * self.size + SPARE, MOST)

    def at(self, offset: int, size: int, where: str) -> bytes:
        """Bytes of a structure; `where` is whose, for messages.

        Raises:
            FormatError: they are not within the file, or more was read than it can hold.
        """
        number, start = divmod(offset, BLOCK)
        if number in self._blocks and start + size <= BLOCK:
            found = self._blocks[number][start : start + size]
        elif offset + size <= self.size and size <= LARGEST:
            found = self._read(number, start, size)
        else:
            found = b""
        if len(found) < size:
            raise self.damaged(
                f"{where}: {size:,} bytes should be at byte {offset:,}, and it ends at "
                f"{self.size:,}: truncated or damaged"
            )
        self.spend(size)
        return found

    def _read(self, number: int, start: int, size: int) -> bytes:
        self._file.seek(number * BLOCK)
        read = self._file.read(max(BLOCK, start + size))
        if len(self._blocks) == KEPT_BLOCKS:
            self._blocks.clear()
        self._blocks[number] = read[:BLOCK]
        return read[start : start + size]

    def spend(self, size: int) -> None:
        """Count bytes that are looked at.

        Raises:
            FormatError: they are more than the file can hold.
        """
        self._left -= size
        if self._left < 0:
            raise self.damaged("its structures share bytes, or lead round in circles")

    def fill(self, offset: int, values: npt.NDArray[np.generic]) -> None:
        """Read values as the file has them at this moment, into a C-contiguous array.

        Raises:
            FormatError: the file does not hold them.
        """
        self._file.seek(offset)
        rest = memoryview(values).cast("B") if values.size else memoryview(b"")
        while len(rest):
            count = self._file.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise self.damaged(f"{len(rest):,} bytes are missing at its end: truncated")
            rest = rest[count:]

    def damaged(self, problem: str) -> FormatError:
        """The error for what is wrong in this file."""
        return FormatError(f"{self.name}: {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
