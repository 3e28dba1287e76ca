"""Writes rows of a recording in chunks, and commits them: no crash loses what is committed.

Chunks are encoded by a few threads and placed by the HDF5 library in a file whose metadata count
for nothing until it is closed. What is safe is said by the journal beside it, once the chunks it
speaks of are on the disk; it holds the rows of incomplete chunks itself.
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

from actscope.protocol import Array
from actscope.store import layout, schema
from actscope.store.checksums import (
    SLOTS,
    ChecksumPlan,
    RunningChecksum,
    bytes_of,
    checksum,
    plan_checksums,
    rows_per_block,
)
from actscope.store.chunked_opening import (
    ChunkedTarget,
    append_entry,
    check_surface,
    open_chunked_target,
    place_chunk,
)
from actscope.store.chunking import chunks_of
from actscope.store.codecs import encode
from actscope.store.disk import SECONDS_BETWEEN_COMMITS, synchronise, synchronise_folder, write_at
from actscope.store.journal import chunks_path, commit_entry, partial_path
from actscope.store.kept_statistics import FIELDS, KeptStatistics, field_values
from actscope.store.opening import discard_chunks
from actscope.store.schema import RecordingPlan, TensorPlan

THREADS = os.cpu_count() or 1
BANDS_UNDER_WAY = 2 * THREADS


@dataclass
class _Column:
    """One tensor while its rows arrive.

    Attributes:
        plan: the tensor.
        running: the checksums so far.
        band: the number of the band that is not complete yet.
        parts: the rows of it that are there, a few arrays one after another.
        rows: how many these are.
        blocks: the checksums of all blocks that are full.
        placed: the chunks since the last commit: number, offset, size.
    """

    plan: TensorPlan
    running: RunningChecksum
    band: int = 0
    parts: list[Array] = field(default_factory=list)
    rows: int = 0
    blocks: list[int] = field(default_factory=list)
    placed: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many rows complete the band."""
        return self.plan.chunk[0] - self.rows

    def take_band(self) -> tuple[int, list[Array]]:
        """The band's number and rows; the next one begins."""
        taken = self.band, self.parts
        self.band, self.parts, self.rows = self.band + 1, [], 0
        return taken


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
        samples = sys.maxsize if plan.is_open_ended else plan.samples
        self._columns = [
            _column(tensor, sums, samples, target)
            for tensor, sums in zip(plan.tensors, plan_checksums(plan), strict=True)
        ]
        self._statistics = KeptStatistics(layout.statistics_of_plan(plan), target.state.content)
        self._state_slot = target.state.slot
        self._pool = ThreadPoolExecutor(THREADS, "actscope-codec")
        self._under_way: deque[tuple[_Column, int, Future[list[memoryview]]]] = deque()
        self._committed_at = time.monotonic()

    def append(self, batch: Sequence[Array]) -> None:
        """Add rows: one C-contiguous array `(n, *shape)` per tensor of the plan, in its order.

        Those of which only the statistics are kept come last. The arrays must not change before the
        chunks that they are part of are complete.
        """
        self._statistics.update(batch, self.written)
        for column, rows in zip(self._columns, batch, strict=False):
            column.running.update(bytes_of(rows))
            self._add(column, rows)
        self.written += len(batch[0])
        if time.monotonic() - self._committed_at >= SECONDS_BETWEEN_COMMITS:
            self.commit()

    def _add(self, column: _Column, rows: Array) -> None:
        while len(rows):
            taken = rows[: column.missing]
            column.parts.append(taken)
            column.rows += len(taken)
            rows = rows[len(taken) :]
            if not column.missing:
                self._encode_band(column)

    def _encode_band(self, column: _Column) -> None:
        band, parts = column.take_band()
        task = self._pool.submit(_encoded, parts, column.plan.chunk, self._plan.codec)
        self._under_way.append((column, band, task))
        while len(self._under_way) > BANDS_UNDER_WAY or (
            self._under_way and self._under_way[0][2].done()
        ):
            self._place_oldest()

    def _place_oldest(self) -> None:
        column, band, task = self._under_way.popleft()
        target = self._open_target
        payloads = task.result()
        for place, content in enumerate(payloads):
            number = band * len(payloads) + place
            placed = place_chunk(target.file, self._plan, column.plan, number, content)
            column.placed.append(placed)
        check_surface(target.surface)

    @property
    def _open_target(self) -> ChunkedTarget:
        if self._target is None:
            raise ValueError("the writer is closed")
        return self._target

    def commit(self) -> None:
        """Make every appended row safe: from here on no crash loses it."""
        while self._under_way:
            self._place_oldest()
        if self.written > self.committed:
            target = self._open_target
            synchronise(target.surface.fileno())
            blocks = {}
            for column in self._columns:
                _, full = column.running.take_full()
                column.blocks += full
                blocks[f"/{column.plan.dataset}"] = full
            entry = commit_entry(
                self.written,
                {f"/{column.plan.dataset}": column.placed for column in self._columns},
                blocks,
                [self._tail(column) for column in self._columns],
                state=self._write_state(target),
            )
            target.journal_end = append_entry(target.journal, entry, target.journal_end)
            for column in self._columns:
                column.placed = []
            self.committed = self.written
        self._committed_at = time.monotonic()

    def _write_state(self, target: ChunkedTarget) -> tuple[int, int] | None:
        """Bring the statistics' state to the disk, in the slot that is not in use."""
        content = self._statistics.state
        if not content:
            return None
        self._state_slot = (self._state_slot + 1) % SLOTS
        place = target.state.place + self._state_slot * target.state.size
        write_at(target.journal, [memoryview(content)], place)
        synchronise(target.journal)
        return self._state_slot, checksum(np.frombuffer(content, np.uint8))

    def _tail(self, column: _Column) -> tuple[str, int, int, list[memoryview]]:
        """The rows of the incomplete chunk that the journal does not hold yet."""
        first = max(self.committed, self.written - column.rows)
        rows = self.written - first
        parts: list[memoryview] = []
        missing = rows
        for part in reversed(column.parts):
            if missing <= 0:
                break
            parts.append(bytes_of(part[-missing:] if len(part) > missing else part))
            missing -= len(part)
        return f"/{column.plan.dataset}", first, rows, parts[::-1]

    def complete(self) -> None:
        """No more rows will come: commit them, and give the finished recording its name."""
        self.commit()
        if not self._plan.is_open_ended and self.written < self._plan.samples:
            return
        for column in self._columns:
            if column.rows:
                self._encode_band(column)
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
                blocks = column.blocks + ([column.running.open] if column.running.is_open else [])
                target.file[f"{schema.CHECKSUMS}/{sums.name}"][SLOTS:] = np.array(blocks, "<u4")
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
        os.fsync(target.surface.fileno())

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
        self._pool.shutdown(cancel_futures=True)
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


def _column(tensor: TensorPlan, sums: ChecksumPlan, samples: int, target: ChunkedTarget) -> _Column:
    """A tensor's state after the rows that are committed."""
    tail = target.tails.get(f"/{tensor.dataset}")
    opened = 0 if tail is None else _open_checksum(tensor, tail, target.rows)
    running = RunningChecksum(sums, (tensor.bytes_per_sample, samples), target.rows, opened)
    column = _Column(
        tensor,
        running,
        band=target.rows // tensor.chunk[0],
        blocks=list(target.blocks.get(f"/{tensor.dataset}", ())),
    )
    if tail is not None and len(tail):
        column.parts, column.rows = [tail], len(tail)
    return column


def _open_checksum(tensor: TensorPlan, tail: Array, rows: int) -> int:
    """The checksum of the rows of a block that is not full, of a tensor of `rows` rows.

    Args:
        tensor: the tensor.
        tail: the rows of its incomplete chunk, which hold those of the block.
        rows: how many are committed.
    """
    opened = rows % rows_per_block(tensor)
    return checksum(tail[len(tail) - opened :]) if opened else 0


def _encoded(parts: Sequence[Array], chunk: tuple[int, ...], codec: str) -> list[memoryview]:
    """A band's rows as encoded chunks."""
    band = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return [encode(piece, codec) for piece in chunks_of(band, chunk)]
