"""Gets the files of a recording in chunks ready: begun anew, or those of an unfinished one."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py._objects import phil

from actscope.protocol import Array
from actscope.store import layout, space
from actscope.store.checksums import SLOTS
from actscope.store.chunking import grid
from actscope.store.codecs import NONE
from actscope.store.disk import filled_up, synchronise, write_at
from actscope.store.journal import (
    Journal,
    chunks_path,
    commit_entry,
    first_entry,
    journal_state,
    state_entry,
)
from actscope.store.kept_statistics import state_size
from actscope.store.layout import Surface
from actscope.store.opening import (
    check_recording_output,
    check_same,
    claim,
    claim_both,
    discard_chunks,
)
from actscope.store.resuming import differences
from actscope.store.rows import tail_rows
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.structure import Structure


@dataclass
class ChunkedTarget:
    """The files of a recording in chunks, open for writing and claimed.

    Attributes:
        file: the HDF5 file that takes the chunks.
        surface: what the library writes it through.
        generation: its number.
        journal: the descriptor of the journal.
        journal_end: where the next entry goes.
        descriptors: all that are open, to be closed in the end.
        rows: committed rows, 0 in a new recording.
        blocks: for each dataset the checksums of the blocks that are full.
        tails: for each dataset the committed rows of its incomplete chunk.
        state: where the state of the statistics goes.
    """

    file: h5py.File
    surface: Surface
    generation: int
    journal: int
    journal_end: int
    descriptors: Sequence[int]
    rows: int
    blocks: dict[str, list[int]]
    tails: dict[str, Array]
    state: "TargetState"


@dataclass(frozen=True)
class TargetState:
    """Where the state of the statistics goes.

    Attributes:
        size: its bytes.
        place: where its two slots begin in the journal.
        slot: which of them is good for the committed rows.
        content: of that slot; empty in a new recording.
    """

    size: int
    place: int
    slot: int = 0
    content: bytes = b""


def open_chunked_target(path: Path, plan: RecordingPlan, *, overwrite: bool) -> ChunkedTarget:
    """Begin a recording in chunks, or go on with an unfinished one at `path`.

    Raises:
        OutputExistsError: another file exists and `overwrite` is false.
        OutputInUseError: another run is writing it.
        ResumeError: the unfinished recording differs from `plan`.
        DiskFullError: the disk has no room.
    """
    check_recording_output(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as partial_claim, ExitStack() as named_claim, ExitStack() as chunks_claim:
        journal, named, unfinished = claim_both(
            path, partial_claim, named_claim, overwrite=overwrite
        )
        if unfinished is None:
            discard_chunks(path)
            target = _begin(path, plan, journal, chunks_claim)
        else:
            target = _go_on(path, plan, journal, unfinished, chunks_claim)
        target.descriptors = [target.surface.fileno(), journal, *([named] if named >= 0 else [])]
        for kept in (partial_claim, named_claim, chunks_claim):
            kept.pop_all()
    return target


def _begin(path: Path, plan: RecordingPlan, journal: int, claims: ExitStack) -> ChunkedTarget:
    if plan.codec == NONE:
        space.check_free(path.parent, plan.samples * plan.bytes_per_sample)
    surface, file = _new_chunks(path, plan, 0, claims)
    os.ftruncate(journal, 0)
    entry = first_entry(
        layout.skeleton(plan), is_open_ended=plan.is_open_ended, replaces=path.exists()
    )
    size = state_size(layout.statistics_of_plan(plan))
    room = state_entry(size) if size else b""
    end = append_entry(journal, entry + room, 0)
    state = TargetState(size, end - SLOTS * size)
    return ChunkedTarget(file, surface, 0, journal, end, (), 0, {}, {}, state)


def _new_chunks(
    path: Path, plan: RecordingPlan, generation: int, claims: ExitStack
) -> tuple[Surface, h5py.File]:
    place = chunks_path(path, generation)
    descriptor = claim(place, claims, create=True)
    claims.callback(place.unlink, missing_ok=True)
    surface = Surface(descriptor)
    file = layout.create_chunked(surface, plan)
    claims.callback(file.close)
    check_surface(surface)
    return surface, file


def append_entry(journal: int, entry: bytes, end: int) -> int:
    """Write an entry of the journal at `end`, and bring it to the disk; returns the new end."""
    write_at(journal, [memoryview(entry)], end)
    synchronise(journal)
    return end + len(entry)


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


def _go_on(
    path: Path, plan: RecordingPlan, descriptor: int, found: Structure, claims: ExitStack
) -> ChunkedTarget:
    check_same(path, found, differences(found, plan))
    journal = found.journal
    assert journal is not None  # the plan's chunks are those of the recording
    generation = journal.generation + 1
    old = chunks_path(path, journal.generation)
    os.ftruncate(descriptor, journal.end)
    surface, file = _new_chunks(path, plan, generation, claims)
    moved = _copy_chunks(old, journal, file, plan)
    check_surface(surface)
    synchronise(surface.fileno())
    entry = commit_entry(journal.rows, moved, {}, [], generation=generation)
    end = append_entry(descriptor, entry, journal.end)
    old.unlink()
    tails: dict[str, Array] = {
        tensor.dataset: tail_rows(journal, tensor, journal.rows - journal.rows % tensor.chunk[0])
        for tensor in found.tensors
    }
    content = journal_state(journal) if plan.keeps_statistics else b""
    state = TargetState(journal.state_size, journal.state_place, journal.state_slot[0], content)
    return ChunkedTarget(
        file, surface, generation, descriptor, end, (), journal.rows, journal.blocks, tails, state
    )


def _copy_chunks(
    source: Path, journal: Journal, file: h5py.File, plan: RecordingPlan
) -> dict[str, list[tuple[int, int, int]]]:
    """Copy the committed chunks into a new file, encoded as they are."""
    size = sum(place.size for places in journal.chunks.values() for place in places.values())
    space.check_free(source.parent, size)
    moved: dict[str, list[tuple[int, int, int]]] = {}
    for tensor in plan.tensors:
        placed = moved.setdefault(f"/{tensor.dataset}", [])
        dataset = ChunkedDataset(file, tensor)
        for number, place in sorted(journal.chunks.get(f"/{tensor.dataset}", {}).items()):
            stored = journal.encoded[place.offset : place.offset + place.size]
            placed.append(dataset.place(number, stored))
    return moved


class ChunkedDataset:
    """A dataset of the file under construction that takes encoded chunks."""

    def __init__(self, file: h5py.File, tensor: TensorPlan) -> None:
        self._id = file[tensor.dataset].id
        self._chunk = tensor.chunk
        self._lengths = grid(tensor.shape, tensor.chunk[1:])
        self._rows = self._id.shape[0]

    def place(self, number: int, content: memoryview) -> tuple[int, int, int]:
        """Hand a chunk to the library; returns its number, its offset in the file and its size."""
        index = np.unravel_index(number, (number + 1, *self._lengths))
        offset = tuple(int(place) * size for place, size in zip(index, self._chunk, strict=True))
        if offset[0] >= self._rows:  # the number of rows turns out at the end
            # One row will do, and what is never made smaller is never decoded by the library.
            self._rows = offset[0] + 1
            self._id.set_extent((self._rows, *self._id.shape[1:]))
        with phil:  # h5py before 3.16 leaves its lock out here (its pull request 2764)
            self._id.write_direct_chunk(offset, content)
        return number, self._id.get_chunk_info_by_coord(offset).byte_offset, len(content)
