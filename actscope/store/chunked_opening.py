"""Gets the files of a recording in chunks ready: begun anew, or those of an unfinished one."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import h5py

from actscope.protocol import Array
from actscope.store import layout, space
from actscope.store.checksums import SLOTS
from actscope.store.chunked_file import ChunkedDataset, check_surface
from actscope.store.codecs import NONE
from actscope.store.disk import synchronise, write_at
from actscope.store.journal import (
    Journal,
    PlacedChunk,
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
from actscope.store.recalling import recall
from actscope.store.resuming import differences
from actscope.store.rows import tail_rows
from actscope.store.schema import RecordingPlan
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
    os.ftruncate(descriptor, 0)
    file = layout.create_chunked(surface, plan)
    claims.callback(file.close)
    check_surface(surface)
    return surface, file


def append_entry(journal: int, entry: bytes, end: int) -> int:
    """Write an entry of the journal at `end`, and bring it to the disk; returns the new end."""
    write_at(journal, [memoryview(entry)], end)
    synchronise(journal)
    return end + len(entry)


def _go_on(
    path: Path, plan: RecordingPlan, descriptor: int, found: Structure, claims: ExitStack
) -> ChunkedTarget:
    check_same(path, found, differences(found, plan))
    plan = replace(plan, provenance=found.provenance)  # when it began, and with which versions
    journal = found.journal
    assert journal is not None  # the plan's chunks are those of the recording
    os.ftruncate(descriptor, journal.end)
    generation, end = journal.generation, journal.end
    recalled = _recalled(path, plan, journal, claims)
    if recalled is not None:
        surface, file = recalled
    else:
        generation += 1
        surface, file, end = _move_chunks(path, plan, descriptor, journal, claims)
    tails: dict[str, Array] = {
        tensor.dataset: tail_rows(journal, tensor, journal.rows - journal.rows % tensor.chunk[0])
        for tensor in found.tensors
    }
    content = journal_state(journal) if plan.keeps_statistics else b""
    state = TargetState(journal.state_size, journal.state_place, journal.state_slot[0], content)
    return ChunkedTarget(
        file, surface, generation, descriptor, end, (), journal.rows, journal.blocks, tails, state
    )


def _recalled(
    path: Path, plan: RecordingPlan, journal: Journal, claims: ExitStack
) -> tuple[Surface, h5py.File] | None:
    with ExitStack() as claimed:
        descriptor = claim(chunks_path(path, journal.generation), claimed)
        recalled = recall(descriptor, plan, journal)
        if recalled is not None:
            surface, file = recalled
            claims.enter_context(claimed.pop_all())
            claims.callback(file.close)
            check_surface(surface)
    return recalled


def _move_chunks(
    path: Path, plan: RecordingPlan, descriptor: int, journal: Journal, claims: ExitStack
) -> tuple[Surface, h5py.File, int]:
    """Copy the committed chunks into a new file, encoded as they are, and tell the journal.

    Returns:
        What the library writes the new file through, the file, and where the journal ends.
    """
    old = chunks_path(path, journal.generation)
    size = sum(place.size for places in journal.chunks.values() for place in places.values())
    space.check_free(path.parent, size)
    surface, file = _new_chunks(path, plan, journal.generation + 1, claims)
    moved: list[PlacedChunk] = []
    for tensor in plan.tensors:
        dataset = ChunkedDataset(file, tensor)
        moved += [
            dataset.place(number, journal.chunk(dataset.name, number))
            for number in sorted(journal.chunks.get(dataset.name, {}))
        ]
    check_surface(surface)
    synchronise(surface.fileno())
    entry = commit_entry(journal.rows, moved, {}, [], generation=journal.generation + 1)
    end = append_entry(descriptor, entry, journal.end)
    old.unlink()
    return surface, file, end
