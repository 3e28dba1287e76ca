"""Writes bytes at a place in a file, and brings them to the disk."""

import os
from collections.abc import Sequence
from pathlib import Path

from actscope.errors import DiskFullError
from actscope.store import space

MAXIMUM_BUFFERS = 512
"""How many the system takes in one call."""

MAXIMUM_BYTES_PER_CALL = 2**30
SECONDS_BETWEEN_COMMITS = 1.0


def synchronise(descriptor: int) -> None:
    """Bring the bytes of a file to the disk.

    Raises:
        DiskFullError: there is no room for them; some file systems say so only now.
    """
    try:
        getattr(os, "fdatasync", os.fsync)(descriptor)
    except OSError as error:
        if not space.is_full(error):
            raise
        raise filled_up(error) from error


def synchronise_folder(folder: Path) -> None:
    """Bring a folder to the disk: the names of its files."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_at(descriptor: int, content: Sequence[memoryview], offset: int) -> None:
    """Write bytes one after another from `offset`, whatever the system writes at a time.

    Raises:
        DiskFullError: there is no more room.
    """
    buffers = list(content)
    while buffers:
        try:
            written = _write_some(descriptor, buffers, offset)
        except OSError as error:
            if not space.is_full(error):
                raise
            raise filled_up(error) from error
        offset += written
        while buffers and written >= len(buffers[0]):
            written -= len(buffers.pop(0))
        if written:
            buffers[0] = buffers[0][written:]


def filled_up(error: OSError) -> DiskFullError:
    """What to raise where the disk filled up in the middle of a run."""
    return DiskFullError(
        f"the disk filled up while rows were written ({error.strerror}): "
        "the rows committed so far are safe"
    )


def _write_some(descriptor: int, buffers: list[memoryview], offset: int) -> int:
    first = buffers[0][:MAXIMUM_BYTES_PER_CALL]
    if hasattr(os, "pwritev") and len(buffers[0]) <= MAXIMUM_BYTES_PER_CALL:
        return os.pwritev(descriptor, buffers[:MAXIMUM_BUFFERS], offset)
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, first, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.write(descriptor, first)
