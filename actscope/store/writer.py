"""Writes rows into a recording, and commits them: what is committed survives a killed process.

Rows go straight to their place with `os.pwritev`, several batches in one call where they are
small, without the HDF5 library and without a copy. `/rows` is moved only after the bytes before it
are on the disk.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from actscope.protocol import Array
from actscope.store.checksums import SLOTS, RunningChecksum, bytes_of, free_slot, plan_checksums
from actscope.store.disk import (
    MAXIMUM_BUFFERS,
    SECONDS_BETWEEN_COMMITS,
    synchronise,
    synchronise_folder,
    write_at,
)
from actscope.store.journal import partial_path
from actscope.store.kept_statistics import FIELDS, KeptStatistics, field_values
from actscope.store.layout import statistics_of_plan
from actscope.store.locking import open_locked
from actscope.store.opening import open_target
from actscope.store.refusing import refuse_other_rows
from actscope.store.schema import RecordingPlan

GATHERED_BYTES = 8 * 2**20
"""Of small batches so much is written at once; more gains nothing, and takes memory."""


class Writer:
    """A recording that is being written, open for appending rows.

    Attributes:
        written: rows that were handed to the system.
        committed: rows that no crash loses any more.
    """

    def __init__(self, path: Path, plan: RecordingPlan, *, overwrite: bool = False) -> None:
        """Lay out the whole file and reserve its room, or go on with an unfinished one.

        A new file has a temporary name until the first commit: until then a file to be replaced
        stays. An unfinished recording of the same plan is gone on with, unless it is to be
        overwritten: `committed` then says from which row.

        Raises:
            OutputExistsError: the file exists and `overwrite` is false.
            OutputInUseError: another run is writing it.
            ResumeError: the file is an unfinished recording that differs from `plan`.
            DiskFullError: the disk has no room for all rows.
        """
        target = open_target(path, plan, overwrite=overwrite)
        self.path = path
        self.written = self.committed = target.rows
        self._plan = plan
        self._offsets = target.offsets
        self._descriptor = target.descriptor
        self._replaced = target.replaced
        self._is_named = not target.is_new
        self._checksums = [
            RunningChecksum(sums, (tensor.bytes_per_sample, plan.samples), target.rows, opened)
            for sums, tensor, opened in zip(
                plan_checksums(plan), plan.tensors, target.open_blocks, strict=True
            )
        ]
        self._slots = list(target.slots)
        self._statistics = KeptStatistics(statistics_of_plan(plan), target.state.content)
        self._state_slots = list(target.state.slots)
        self._gathered: list[Sequence[Array]] = []
        self._gathered_rows = 0
        self._summing = ThreadPoolExecutor(1, "actscope-checksum")
        self._committed_at = time.monotonic()

    def append(self, batch: Sequence[Array]) -> None:
        """Add rows: one C-contiguous array `(n, *shape)` per tensor of the plan, in its order.

        Those of which only the statistics are kept come last. The arrays must not change before the
        next commit; small batches are gathered first.

        Raises:
            ModelError: an array is another than was planned.
        """
        refuse_other_rows(self._plan, batch)
        self._statistics.update(batch, self.written + self._gathered_rows)
        # Of those that are not stored nothing is left to do: they are let go.
        self._gathered.append(batch[: len(self._plan.tensors)])
        self._gathered_rows += len(batch[0])
        enough = self._gathered_rows * self._plan.bytes_per_sample >= GATHERED_BYTES
        if enough or len(self._gathered) == MAXIMUM_BUFFERS:
            self._write_gathered()
        if time.monotonic() - self._committed_at >= SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        """Make every appended row safe: from here on no crash loses it."""
        self._write_gathered()
        if self.written > self.committed:
            self._write_checksums()
            synchronise(self._descriptor)
            if self.written == self._plan.samples:
                self._clear_slots()
            self._write_numbers([self.written], "<i8", self._offsets.rows)
            synchronise(self._descriptor)
            if self.written == self._plan.samples:
                self._clear_state()
            if not self._is_named:
                self._give_name()
            self.committed = self.written
        self._committed_at = time.monotonic()

    def complete(self) -> None:
        """No more rows will come."""
        self.commit()

    def _give_name(self) -> None:
        self._let_go_of_replaced()
        if sys.platform == "win32":  # it renames no open file
            os.close(self._descriptor)
        partial_path(self.path).replace(self.path)
        synchronise_folder(self.path.parent)
        if sys.platform == "win32":
            self._descriptor = open_locked(self.path)
        self._is_named = True

    def _let_go_of_replaced(self) -> None:
        if self._replaced >= 0:
            os.close(self._replaced)
            self._replaced = -1

    def _write_gathered(self) -> None:
        if not self._gathered:
            return
        columns = [
            [bytes_of(batch[position]) for batch in self._gathered]
            for position in range(len(self._plan.tensors))
        ]
        summed = self._summing.submit(self._sum_up, columns)
        for column, tensor, start in zip(
            columns, self._plan.tensors, self._offsets.tensors, strict=True
        ):
            if tensor.bytes_per_sample:
                write_at(self._descriptor, column, start + self.written * tensor.bytes_per_sample)
        summed.result()
        self.written += self._gathered_rows
        self._gathered, self._gathered_rows = [], 0

    def _sum_up(self, columns: Sequence[Sequence[memoryview]]) -> None:
        """Take rows into the checksums; in another thread, while they are written."""
        for running, buffers in zip(self._checksums, columns, strict=True):
            for buffer in buffers:
                running.update(buffer)

    def _write_checksums(self) -> None:
        """Those of the blocks that became full, and, in the free slot, those of the open ones."""
        for running, offset in zip(self._checksums, self._offsets.checksums, strict=True):
            first, full = running.take_full()
            if full:
                self._write_numbers(full, "<u4", offset + 4 * (SLOTS + first))
        if self.written == self._plan.samples:
            self._write_numbers([0] * SLOTS, "<i8", self._offsets.slots)
            self._write_statistics()
        else:
            self._write_state(free_slot(self._state_slots, self.committed))
            self._write_slot(free_slot(self._slots, self.committed))

    def _write_slot(self, slot: int) -> None:
        # While it is between two states the slot is good for no rows: others may be reading.
        self._write_numbers([0], "<i8", self._offsets.slots + 8 * slot)
        for running, offset in zip(self._checksums, self._offsets.checksums, strict=True):
            self._write_numbers([running.open], "<u4", offset + 4 * slot)
        self._slots[slot] = self.written
        self._write_numbers([self.written], "<i8", self._offsets.slots + 8 * slot)

    def _clear_slots(self) -> None:
        """A finished recording needs none: its bytes do not depend on when it was committed."""
        for offset in self._offsets.checksums:
            self._write_numbers([0] * SLOTS, "<u4", offset)

    def _write_state(self, slot: int) -> None:
        state = self._statistics.state
        if state:
            self._write_numbers([0], "<i8", self._offsets.state_slots + 8 * slot)
            self._write(memoryview(state), self._offsets.state + slot * len(state))
            self._state_slots[slot] = self.written
            self._write_numbers([self.written], "<i8", self._offsets.state_slots + 8 * slot)

    def _clear_state(self) -> None:
        """Of no use once every row is there; what remains would depend on when it was committed."""
        size = self._statistics.nbytes
        if size:
            self._write_numbers([0] * SLOTS, "<i8", self._offsets.state_slots)
            self._write(memoryview(bytes(SLOTS * size)), self._offsets.state)

    def _write_statistics(self) -> None:
        """Those of all rows, where people look for them."""
        for found, offsets in zip(self._statistics.results, self._offsets.statistics, strict=True):
            for field, offset in zip(FIELDS, offsets, strict=True):
                self._write(bytes_of(field_values(found, field)), offset)

    def _write_numbers(self, values: Sequence[int], dtype: str, offset: int) -> None:
        self._write(bytes_of(np.array(values, dtype)), offset)

    def _write(self, content: memoryview, offset: int) -> None:
        if len(content):
            write_at(self._descriptor, [content], offset)

    def close(self) -> None:
        """Let go of the file; rows that were not committed are not there.

        Where none were, there is no new file.
        """
        if self._descriptor < 0:
            return
        if not self._is_named:
            partial_path(self.path).unlink(missing_ok=True)
        self._summing.shutdown()
        self._let_go_of_replaced()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
