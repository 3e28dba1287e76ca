"""Writes rows of a recording in chunks, and commits them: no crash loses what is committed.

Chunks are encoded by a few threads and placed by the HDF5 library in a file whose metadata count
for nothing until it is closed. What is safe is said by the journal beside it, once the chunks it
speaks of are on the disk; it holds the rows of incomplete chunks itself. The disk is waited for in
a thread of its own, while further chunks are encoded.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from actscope.store import layout, schema
from actscope.store.bands import BandUnderWay, OpenBand, Part, decoded
from actscope.store.checksums import SLOTS, bytes_of, checksum, plan_checksums, rows_per_block
from actscope.store.chunked_file import ChunkedDataset, check_surface
from actscope.store.chunked_opening import ChunkedTarget, append_entry, open_chunked_target
from actscope.store.disk import SECONDS_BETWEEN_COMMITS, synchronise, synchronise_folder, write_at
from actscope.store.journal import PlacedChunk, chunks_path, commit_entry, partial_path
from actscope.store.kept_statistics import FIELDS, KeptStatistics, field_values
from actscope.store.opening import discard_chunks
from actscope.store.refusing import refuse_other_rows
from actscope.store.schema import RecordingPlan, TensorPlan

THREADS = os.cpu_count() or 1
BANDS_UNDER_WAY = 2 * THREADS


@dataclass
class _Column:
    """One tensor while its rows arrive.

    Attributes:
        open: its rows that no chunk holds yet.
        dataset: what takes its chunks.
        blocks: the checksums of the blocks that are full, as far as they are known.
        told: of how many of them the journal knows.
    """

    open: OpenBand
    dataset: ChunkedDataset
    blocks: list[int] = field(default_factory=list)
    told: int = 0

    def place(self, band: BandUnderWay) -> list[PlacedChunk]:
        """Hand the chunks of the next band to the library, once they are encoded."""
        encoded = band.result()
        self._note(band.number, encoded.checksums)
        first = band.number * len(encoded.chunks)
        return [
            self.dataset.place(number, content)
            for number, content in enumerate(encoded.chunks, first)
        ]

    def new_blocks(self) -> list[int]:
        """The checksums of full blocks that there are since the last call."""
        self._note(self.open.number, self.open.full_blocks())
        new = self.blocks[self.told :]
        self.told = len(self.blocks)
        return new

    def tail(self, first: int, stop: int) -> tuple[str, int, int, list[memoryview]]:
        """The rows of the incomplete chunk from the row `first` on, `stop` being their end."""
        first = max(first, stop - self.open.rows)
        parts = [bytes_of(part) for part in self.open.last(stop - first)]
        return self.dataset.name, first, stop - first, parts

    def _note(self, band: int, checksums: list[int]) -> None:
        first = -(-band * self.open.tensor.chunk[0] // rows_per_block(self.open.tensor))
        self.blocks[first:] = checksums


@dataclass(frozen=True)
class _Commit:
    """What makes rows safe once their chunks are on the disk.

    Attributes:
        rows: committed rows.
        entry: of the journal.
        state: that of the statistics.
        slot: where it goes.
    """

    rows: int
    entry: bytes
    state: bytes
    slot: int


class ChunkedWriter:
    """A recording in chunks that is being written, open for appending rows.

    Attributes:
        written: rows that were taken.
        committed: rows that no crash loses any more.
    """

    def __init__(self, path: Path, plan: RecordingPlan, *, overwrite: bool = False) -> None:
        """Begin a recording, or go on with an unfinished one of the same plan.

        Nothing has the recording's name until it is finished: a file to be replaced stays.

        Raises:
            OutputExistsError: the file exists and `overwrite` is false.
            OutputInUseError: another run is writing it.
            ResumeError: there is an unfinished recording that differs from `plan`.
            DiskFullError: the disk has no room.
        """
        target = open_chunked_target(path, plan, overwrite=overwrite)
        self.path = path
        self.written = self.committed = target.rows
        self._plan = plan
        self._target: ChunkedTarget | None = target
        self._columns = [_column(tensor, target) for tensor in plan.tensors]
        self._statistics = KeptStatistics(layout.statistics_of_plan(plan), target.state.content)
        self._state_slot = target.state.slot
        self._encoders = ThreadPoolExecutor(THREADS, "actscope-codec")
        self._under_way: deque[tuple[_Column, BandUnderWay]] = deque()
        self._placed: list[PlacedChunk] = []  # since the last commit
        self._disk = ThreadPoolExecutor(1, "actscope-commit")
        self._commit: Future[None] | None = None
        self._committed_at = time.monotonic()

    def append(self, batch: Sequence[Part]) -> None:
        """Add rows: one C-contiguous array `(n, *shape)` per tensor of the plan, in its order.

        Those of which only the statistics are kept come last. The arrays must not change before the
        chunks that they are part of are complete. `StoredRows` may stand for an array.

        Raises:
            ModelError: an array is another than was planned.
        """
        refuse_other_rows(self._plan, batch)
        if self._plan.keeps_statistics:
            self._statistics.update([decoded(rows) for rows in batch], self.written)
        for column, rows in zip(self._columns, batch, strict=False):
            self._add(column, rows)
        self.written += len(batch[0])
        if time.monotonic() - self._committed_at >= SECONDS_BETWEEN_COMMITS:
            self._begin_commit()

    def _add(self, column: _Column, rows: Part) -> None:
        while len(rows):
            taken = rows[: column.open.missing]
            column.open.add(taken)
            rows = rows[len(taken) :]
            if not column.open.missing:
                self._encode(column)

    def _encode(self, column: _Column) -> None:
        band = column.open.encode(self._plan.codec, self._encoders, THREADS)
        self._under_way.append((column, band))
        while len(self._under_way) > BANDS_UNDER_WAY or (
            self._under_way and self._under_way[0][1].is_done
        ):
            self._place_oldest()

    def _place_oldest(self) -> None:
        column, band = self._under_way.popleft()
        self._placed += column.place(band)
        check_surface(self._open_target.surface)

    @property
    def _open_target(self) -> ChunkedTarget:
        if self._target is None:
            raise ValueError("the writer is closed")
        return self._target

    def commit(self) -> None:
        """Make every appended row safe: from here on no crash loses it.

        Raises:
            DiskFullError: the disk filled up; what was committed before is safe.
        """
        self._begin_commit()
        self._await_commit()

    def _begin_commit(self) -> None:
        """Have all that was appended made safe, while more is appended."""
        self._await_commit()
        while self._under_way:
            self._place_oldest()
        if self.written > self.committed:
            self._commit = self._disk.submit(self._make_safe, self._open_target, self._prepared())
        self._committed_at = time.monotonic()

    def _await_commit(self) -> None:
        """Wait until the last commit is safe; where it failed, so does every further one."""
        if self._commit is not None:
            self._commit.result()

    def _prepared(self) -> _Commit:
        """All that a commit will write, for the rows that were appended until now."""
        placed, self._placed = self._placed, []
        state = self._statistics.state
        slot = (self._state_slot + 1) % SLOTS
        entry = commit_entry(
            self.written,
            placed,
            {column.dataset.name: column.new_blocks() for column in self._columns},
            [column.tail(self.committed, self.written) for column in self._columns],
            state=(slot, checksum(np.frombuffer(state, np.uint8))) if state else None,
        )
        return _Commit(self.written, entry, state, slot)

    def _make_safe(self, target: ChunkedTarget, commit: _Commit) -> None:
        synchronise(target.surface.fileno())
        if commit.state:  # in the slot that is not in use
            place = target.state.place + commit.slot * target.state.size
            write_at(target.journal, [memoryview(commit.state)], place)
            synchronise(target.journal)
        target.journal_end = append_entry(target.journal, commit.entry, target.journal_end)
        self._state_slot = commit.slot
        self.committed = commit.rows

    def complete(self) -> None:
        """No more rows will come: commit them, and give the finished recording its name."""
        self.commit()
        if not self._plan.is_open_ended and self.written < self._plan.samples:
            return
        for column in self._columns:
            if column.open.rows:
                self._encode(column)
        while self._under_way:
            self._place_oldest()
        self._finish_file()
        self._give_name()

    def _finish_file(self) -> None:
        target = self._open_target
        plan = replace(self._plan, samples=self.written, is_open_ended=False)
        try:
            if self._plan.is_open_ended:
                layout.end(target.file, plan)
            for column, sums in zip(self._columns, plan_checksums(plan), strict=True):
                entries = np.array(column.blocks, "<u4")
                target.file[f"{schema.CHECKSUMS}/{sums.name}"][SLOTS:] = entries
            kept = layout.statistics_of_plan(plan)
            for statistics, found in zip(kept, self._statistics.results, strict=True):
                for part in FIELDS:
                    name = f"{statistics.group}/{part.name}"
                    target.file[name][...] = field_values(found, part)
            target.file[schema.ROWS][0] = self.written
            target.file.close()
        except Exception:
            check_surface(target.surface)
            raise
        check_surface(target.surface)
        synchronise(target.surface.fileno())

    def _give_name(self) -> None:
        finished = chunks_path(self.path, self._open_target.generation)
        if sys.platform == "win32":  # it renames no open file
            self.close()
        finished.replace(self.path)
        synchronise_folder(self.path.parent)
        partial_path(self.path).unlink(missing_ok=True)
        discard_chunks(self.path)
        self.close()

    def close(self) -> None:
        """Let go of the files; rows that were not committed are not there.

        Where none were, nothing is left.
        """
        if self._target is None:
            return
        target, self._target = self._target, None
        self._encoders.shutdown(cancel_futures=True)
        self._disk.shutdown()
        target.file.close()
        if not self.committed:
            chunks_path(self.path, target.generation).unlink(missing_ok=True)
            partial_path(self.path).unlink(missing_ok=True)
        for descriptor in target.descriptors:
            os.close(descriptor)

    def __enter__(self) -> "ChunkedWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _column(tensor: TensorPlan, target: ChunkedTarget) -> _Column:
    """A tensor's state after the rows that are committed."""
    dataset = ChunkedDataset(target.file, tensor)
    blocks = list(target.blocks.get(dataset.name, ()))
    band = OpenBand(tensor, target.rows // tensor.chunk[0])
    column = _Column(band, dataset, blocks, len(blocks))
    tail = target.tails.get(dataset.name)
    if tail is not None and len(tail):
        column.open.add(tail)
    return column
