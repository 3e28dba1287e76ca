"""Writes rows into a recording, and commits them: what is committed survives a killed process.

Rows go straight to their place with `os.pwritev`, several batches in one call where they are
small, without the HDF5 library and without a copy. `/rows` is moved only after the bytes before it
are on the disk.
"""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actscope.errors import DiskFullError, OutputExistsError
from actscope.protocol import Array
from actscope.store import layout, space
from actscope.store.checksums import SLOTS, RunningChecksum, free_slot, plan_checksums
from actscope.store.schema import RecordingPlan

GATHERED_BYTES_PER_TENSOR = 2**20
GATHERED_BYTES = 64 * 2**20
MAXIMUM_BUFFERS = 512
MAXIMUM_BYTES_PER_CALL = 2**30
METADATA_BYTES_PER_TENSOR = 16 * 2**10
SECONDS_BETWEEN_COMMITS = 1.0


def partial_path(path: Path) -> Path:
    """Where a recording is laid out before it gets its name."""
    return path.with_name(path.name + ".partial")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists or whose folder does not.

    Raises:
        OutputExistsError: the file exists and `overwrite` is false.
    """
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder: name a file to write, such as {path}/run.h5")
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists: choose another name, or overwrite it (overwrite=True, --overwrite)"
        )


class Writer:
    """A recording that is being written, open for appending rows."""

    def __init__(self, path: Path, plan: RecordingPlan, *, overwrite: bool = False) -> None:
        """Lay out the whole file and reserve its room, under a temporary name.

        It gets its own name with the first commit: until then a file to be replaced stays.

        Raises:
            OutputExistsError: the file exists and `overwrite` is false.
            DiskFullError: the disk has no room for all rows.
        """
        check_output(path, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        overhead = len(plan.provenance) + METADATA_BYTES_PER_TENSOR * (len(plan.tensors) + 1)
        overhead += sum(4 * sums.entries for sums in plan_checksums(plan))
        replaced = path.stat().st_size if path.exists() else 0
        space.check_free(path.parent, plan.samples * plan.bytes_per_sample + overhead, replaced)
        self.path = path
        self._plan = plan
        self._offsets = _lay_out(path, plan)
        self._checksums = [RunningChecksum(sums, plan.samples) for sums in plan_checksums(plan)]
        self._slots = [0] * SLOTS
        self._descriptor = _open(partial_path(path))
        self._gathered: list[Sequence[Array]] = []
        self._gathered_rows = 0
        self._gather_limit = min(GATHERED_BYTES, GATHERED_BYTES_PER_TENSOR * len(plan.tensors))
        self._committed_at = time.monotonic()
        self.written = 0
        self.committed = 0

    def append(self, batch: Sequence[Array]) -> None:
        """Add rows: one C-contiguous array `(n, *shape)` per tensor of the plan, in its order.

        The arrays must not change before the next commit; small batches are gathered first.
        """
        self._gathered.append(batch)
        self._gathered_rows += len(batch[0])
        enough = self._gathered_rows * self._plan.bytes_per_sample >= self._gather_limit
        if enough or len(self._gathered) == MAXIMUM_BUFFERS:
            self._write_gathered()
        if time.monotonic() - self._committed_at >= SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        """Make every appended row safe: from here on no crash loses it."""
        self._write_gathered()
        if self.written > self.committed:
            self._write_checksums()
            _synchronise(self._descriptor)
            if self.written == self._plan.samples:
                self._clear_slots()
            self._write_numbers([self.written], "<i8", self._offsets.rows)
            _synchronise(self._descriptor)
            if self.committed == 0:
                self._give_name()
            self.committed = self.written
        self._committed_at = time.monotonic()

    def _give_name(self) -> None:
        os.close(self._descriptor)  # Windows renames no open file
        partial_path(self.path).replace(self.path)
        _synchronise_folder(self.path.parent)
        self._descriptor = _open(self.path)

    def _write_gathered(self) -> None:
        if not self._gathered:
            return
        for position, (tensor, start) in enumerate(
            zip(self._plan.tensors, self._offsets.tensors, strict=True)
        ):
            if tensor.bytes_per_sample:
                offset = start + self.written * tensor.bytes_per_sample
                arrays = [batch[position] for batch in self._gathered]
                for array in arrays:
                    self._checksums[position].update(array)
                _write_at(self._descriptor, arrays, offset)
        self.written += self._gathered_rows
        self._gathered, self._gathered_rows = [], 0

    def _write_checksums(self) -> None:
        """Those of the blocks that became full, and, in the free slot, those of the open ones."""
        slot = free_slot(self._slots, self.committed)
        for running, offset in zip(self._checksums, self._offsets.checksums, strict=True):
            first, full = running.take_full()
            if full:
                self._write_numbers(full, "<u4", offset + 4 * (SLOTS + first))
            self._write_numbers([running.open], "<u4", offset + 4 * slot)
        self._slots[slot] = self.written
        self._write_numbers([self.written], "<i8", self._offsets.slots + 8 * slot)

    def _clear_slots(self) -> None:
        """A finished recording needs none: its bytes do not depend on when it was committed."""
        for offset in self._offsets.checksums:
            self._write_numbers([0] * SLOTS, "<u4", offset)
        self._write_numbers([0] * SLOTS, "<i8", self._offsets.slots)

    def _write_numbers(self, values: Sequence[int], dtype: str, offset: int) -> None:
        _write_at(self._descriptor, [np.array(values, dtype)], offset)

    def close(self) -> None:
        """Let go of the file; rows that were not committed are not there.

        Where none were, there is no file.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if self.committed == 0:
                partial_path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lay_out(path: Path, plan: RecordingPlan) -> layout.Offsets:
    partial = partial_path(path)
    try:
        offsets = layout.create(partial, plan)
        end = max(
            start + plan.samples * tensor.bytes_per_sample
            for tensor, start in zip(plan.tensors, offsets.tensors, strict=True)
        )
        descriptor = _open(partial)
        try:
            space.reserve(descriptor, max(end, partial.stat().st_size), path.parent)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return offsets


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))


def _synchronise(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _synchronise_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_at(descriptor: int, arrays: Sequence[Array], offset: int) -> None:
    """Write arrays one after another from `offset`, whatever the system writes at a time."""
    buffers = [memoryview(array.reshape(-1).view(np.uint8)) for array in arrays if array.nbytes]
    while buffers:
        try:
            written = _write_some(descriptor, buffers, offset)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                f"the disk filled up while rows were written ({error.strerror}): "
                "the rows committed so far are safe"
            ) from error
        offset += written
        while buffers and written >= len(buffers[0]):
            written -= len(buffers.pop(0))
        if written:
            buffers[0] = buffers[0][written:]


def _write_some(descriptor: int, buffers: list[memoryview], offset: int) -> int:
    first = buffers[0][:MAXIMUM_BYTES_PER_CALL]
    if hasattr(os, "pwritev") and len(buffers[0]) <= MAXIMUM_BYTES_PER_CALL:
        return os.pwritev(descriptor, buffers[:MAXIMUM_BUFFERS], offset)
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, first, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.write(descriptor, first)
