"""Gets a file ready for its rows: laid out anew, or an unfinished recording to go on with.

One writer at a time has it; nothing that is there is touched before it is clear that it may be.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from actscope.errors import FormatError, ResumeError
from actscope.replacing import check_no_folder, check_output
from actscope.store import guarded, layout, schema, space
from actscope.store.checksums import SLOTS, checksum, plan_checksums
from actscope.store.contiguous import ContiguousRows
from actscope.store.findings import finding
from actscope.store.hdf5.objects import Group
from actscope.store.journal import Journal, partial_path
from actscope.store.kept_statistics import KeptState, state_size
from actscope.store.layout import Offsets
from actscope.store.locking import open_locked
from actscope.store.resuming import differences
from actscope.store.schema import RecordingPlan
from actscope.store.stored_checksums import StoredChecksums, read_checksums, read_slots
from actscope.store.stored_statistics import read_state
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import (
    Structure,
    read_structure,
    read_unfinished,
    unfinished_journal,
)

METADATA_BYTES_PER_TENSOR = 16 * 2**10
MAXIMUM_DIFFERENCES = 12


@dataclass(frozen=True)
class Target:
    """A file that is open for writing, and claimed.

    Attributes:
        descriptor: the file's.
        replaced: the descriptor of the file that it will replace, claimed too, or -1.
        offsets: where its bytes go.
        rows: committed rows, 0 in a new file.
        slots: how many rows each slot of the checksums is good for.
        open_blocks: for each tensor, the checksum of the committed rows of the open block.
        state: that of the statistics of the committed rows.
        is_new: whether the file still has its temporary name.
    """

    descriptor: int
    replaced: int
    offsets: Offsets
    rows: int
    slots: tuple[int, ...]
    open_blocks: tuple[int, ...]
    state: KeptState
    is_new: bool


def check_recording_output(path: Path, *, overwrite: bool) -> int:
    """Refuse an output that exists, unless it is an unfinished recording, which is gone on with.

    Returns:
        How many rows it holds; 0 where a new file will be made.

    Raises:
        OutputExistsError: another file exists and `overwrite` is false, or it is a folder.
    """
    check_no_folder(path)
    unfinished = None if overwrite else _unfinished(path)
    if unfinished is None:
        check_output(path, overwrite=overwrite)
        return 0
    return unfinished.rows


def _unfinished(path: Path) -> Structure | None:
    """The structure of an unfinished recording, or None where there is anything else."""
    journal = unfinished_journal(path)
    if journal is not None:
        found = _read_damaged_or_not(path, journal)
        # A finished file of that name was to be replaced, or it is not of this run.
        if journal.replaces or not path.exists():
            return found
    try:
        structure = read_structure(path) if path.is_file() else None
    except FormatError:
        return None
    return None if structure is None or structure.is_finished else structure


def _read_damaged_or_not(path: Path, journal: Journal) -> Structure:
    """An unfinished recording in chunks, whose rows no new run may throw away unasked."""
    try:
        return read_unfinished(path, journal)
    except (FormatError, OSError) as error:
        raise FormatError(
            f"{path}: the unfinished recording there cannot be gone on with ({error}): choose "
            "another name, or start anew (overwrite=True, --overwrite)"
        ) from error


def open_target(path: Path, plan: RecordingPlan, *, overwrite: bool) -> Target:
    """Lay out a recording under a temporary name, or go on with an unfinished one at `path`.

    Raises:
        OutputExistsError: another file exists and `overwrite` is false.
        OutputInUseError: another run is writing it.
        ResumeError: the unfinished recording differs from `plan`.
        DiskFullError: the disk has no room for all rows.
    """
    check_recording_output(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as partial_claim, ExitStack() as named_claim:
        partial, named, unfinished = claim_both(
            path, partial_claim, named_claim, overwrite=overwrite
        )
        if unfinished is None:
            discard_chunks(path)
            target = _lay_out(path, plan, partial, named)
            partial_claim.pop_all()
        else:
            target = _go_on(path, plan, named, unfinished)
        named_claim.pop_all()
    return target


def claim_both(
    path: Path, partial_claim: ExitStack, named_claim: ExitStack, *, overwrite: bool
) -> tuple[int, int, Structure | None]:
    """Claim a recording under both of its names: what is found then stays as it is.

    Returns:
        The descriptors, that of `path` -1 where there is no such file, and the unfinished recording
        to go on with.
    """
    partial = claim(partial_path(path), partial_claim, create=True)
    if unfinished_journal(path) is None:
        partial_claim.callback(partial_path(path).unlink, missing_ok=True)
    named = claim(path, named_claim) if path.exists() else -1
    unfinished = None if overwrite else _unfinished(path)
    if unfinished is None:
        check_output(path, overwrite=overwrite)
    return partial, named, unfinished


def discard_chunks(path: Path) -> None:
    """Take away what another run in chunks has left."""
    for file in path.parent.iterdir():
        if file.name.startswith(f"{path.name}.chunks-"):
            file.unlink(missing_ok=True)


def claim(path: Path, claims: ExitStack, *, create: bool = False) -> int:
    """Open a file for writing, for as long as `claims` last."""
    descriptor = open_locked(path, create=create)
    claims.callback(os.close, descriptor)
    return descriptor


def _lay_out(path: Path, plan: RecordingPlan, partial: int, replaced: int) -> Target:
    overhead = len(plan.provenance) + METADATA_BYTES_PER_TENSOR * (len(plan.tensors) + 1)
    overhead += sum(4 * sums.entries for sums in plan_checksums(plan))
    overhead += 3 * state_size(layout.statistics_of_plan(plan))
    freed = os.fstat(replaced).st_size if replaced >= 0 else 0
    needed = plan.samples * plan.bytes_per_sample + overhead
    space.check_free(path.parent, needed, freed)
    try:
        offsets = layout.create(partial, plan)
    except OSError as error:
        if space.is_full(error):
            raise space.cannot_be_reserved(needed, path.parent, error) from error
        raise
    ends = (
        start + plan.samples * tensor.bytes_per_sample
        for tensor, start in zip(plan.tensors, offsets.tensors, strict=True)
    )
    space.reserve(partial, max([*ends, os.fstat(partial).st_size]), path.parent)
    os.fsync(partial)
    opened = (0,) * len(plan.tensors)
    none = KeptState()
    return Target(partial, replaced, offsets, 0, (0,) * SLOTS, opened, none, True)


def check_same(path: Path, found: Structure, different: Sequence[str]) -> None:
    """Refuse to go on with an unfinished recording that differs from a call.

    Raises:
        ResumeError: it does.
    """
    if different:
        raise ResumeError(_refusal(path, found, different))


def _go_on(path: Path, plan: RecordingPlan, descriptor: int, found: Structure) -> Target:
    different = differences(found, plan)
    if found.journal is not None:
        check_same(path, found, different)
    with guarded.open_file(path, found.file) as root:
        check_same(path, found, [*different, *_other_checksums(root, plan, path)])
        slots = read_slots(root)
        stored = {sums.tensor: sums for sums in read_checksums(root, found.samples)}
        offsets = layout.offsets(plan, guarded.first_bytes(root))
        state = read_state(root, found.rows) if plan.keeps_statistics else KeptState()
    space.reserve(descriptor, os.fstat(descriptor).st_size, path.parent)
    open_blocks = tuple(
        _open_block(found, tensor, stored[tensor.dataset], slots)
        for tensor in _in_order(found, plan)
    )
    return Target(descriptor, -1, offsets, found.rows, slots, open_blocks, state, False)


def _other_checksums(root: Group, plan: RecordingPlan, path: Path) -> list[str]:
    """A clause where the file's checksums are not those that a writer would keep."""
    planned = {
        (f"/{schema.CHECKSUMS}/{s.name}", s.tensor, s.rows_per_block) for s in plan_checksums(plan)
    }
    try:
        read_slots(root)
        stored = {(s.name, s.tensor, s.rows_per_block) for s in read_checksums(root, plan.samples)}
    except FormatError as error:
        return [f"checksums: {finding('', error, path).problem}"]
    return [] if stored == planned else ["checksums: not of the blocks that this actscope keeps"]


def _refusal(path: Path, found: Structure, different: Sequence[str]) -> str:
    more = len(different) - MAXIMUM_DIFFERENCES
    listed = "; ".join(different[:MAXIMUM_DIFFERENCES]) + (f"; {more} more" if more > 0 else "")
    planned = "" if found.is_open_ended else f"of {found.samples:,} "
    return (
        f"{path} holds {found.rows:,} {planned}samples of another run, with which this "
        f"call cannot go on ({listed}): make the same call as then, choose another name, or start "
        "anew (overwrite=True, --overwrite)"
    )


def _in_order(found: Structure, plan: RecordingPlan) -> list[StoredTensor]:
    stored = {tensor.dataset: tensor for tensor in found.tensors}
    return [stored[f"/{tensor.dataset}"] for tensor in plan.tensors]


def _open_block(
    found: Structure, tensor: StoredTensor, sums: StoredChecksums, slots: Sequence[int]
) -> int:
    """The checksum of the committed rows of the block that is not full."""
    rows = found.rows
    if rows in slots:
        return sums.entries[slots.index(rows)]
    # The process died between clearing the slots and committing the last rows.
    stored = ContiguousRows(found.file, tensor, rows)
    return checksum(stored.between(rows - rows % sums.rows_per_block, rows))
