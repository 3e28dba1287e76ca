"""Reads the statistics that a recording holds, from a file that anyone may have written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from actscope.errors import FormatError
from actscope.histogram import BINS
from actscope.protocol import Array
from actscope.statistics import Statistics
from actscope.store import guarded, schema
from actscope.store.checksums import SLOTS
from actscope.store.hdf5.objects import Group
from actscope.store.journal import journal_state
from actscope.store.kept_statistics import (
    FIELDS,
    Field,
    KeptState,
    channels_of,
    group_name,
    running_for,
)
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure

MAXIMUM_TOP = 1000

_BYTES_PER_CHANNEL = 8
"""Of the state, at least."""


def read_state(root: Group, rows: int) -> KeptState:
    """The state of all statistics after `rows` rows, of a recording that is not finished.

    Raises:
        FormatError: the file has none that is good for so many rows, or not any more: a run may be
            writing it.
    """
    group = guarded.member(root, schema.STATISTICS, Group)
    slots = _slots(group)
    state = guarded.plain_dataset(group, schema.STATE)
    if len(state.shape) != 2 or state.shape[0] != SLOTS or state.dtype != np.uint8:
        raise root.content.damaged(f"{state.dataset.name} is not {SLOTS} lists of bytes")
    if rows not in slots:
        raise _lacks_state(root, rows)
    slot = slots.index(rows)
    content = state.read()[slot].tobytes()
    if _slots(group)[slot] != rows:  # it was written over meanwhile
        raise _lacks_state(root, rows)
    return KeptState(slots, content)


def _lacks_state(root: Group, rows: int) -> FormatError:
    (now,) = guarded.plain_numbers(root, schema.ROWS, "<i8", 1)
    if now != rows:
        return FormatError(
            f"{root.content.name} has grown from {rows:,} to {now:,} rows since it was opened: "
            "open it again"
        )
    return FormatError(
        f"{root.content.name} has no statistics for its {rows:,} committed rows: damaged"
    )


def _slots(group: Group) -> tuple[int, ...]:
    return guarded.plain_numbers(group, schema.SLOTS, "<i8", SLOTS)


def read_statistics(structure: Structure, tensor: StoredTensor) -> Statistics:
    """The statistics of one tensor over the committed rows.

    Raises:
        FormatError: they are damaged.
    """
    with open_statistics(structure) as statistics_of:
        return statistics_of(tensor)


@contextmanager
def open_statistics(structure: Structure) -> Iterator[Callable[[StoredTensor], Statistics]]:
    """What reads the statistics of one tensor after another, while this lasts.

    Raises:
        FormatError: the state of all is damaged; those of a tensor are refused when it is read.
    """
    if structure.journal is not None:
        yield partial(_from_state, journal_state(structure.journal), structure)
        return
    with guarded.open_file(structure.file.path, structure.file) as root:
        if structure.is_finished:
            yield partial(_from_fields, guarded.groups_of(root), structure)
        else:
            yield partial(_from_state, read_state(root, structure.rows).content, structure)


def _from_state(state: bytes, structure: Structure, tensor: StoredTensor) -> Statistics:
    where = f"{structure.name}: the statistics of {tensor.dataset}"
    offset = structure.statistics[tensor.dataset]
    mine = state[offset:] if offset >= 0 else b""
    if _BYTES_PER_CHANNEL * channels_of(tensor.shape, tensor.axes[1:]) > len(mine):
        raise FormatError(f"{where} are not in the state of all: damaged")
    running = running_for(tensor.shape, tensor.axes[1:])
    try:
        running.restore(mine[: running.nbytes])
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from error
    found = running.result()
    if found.samples != structure.rows:
        raise FormatError(
            f"{where} are of {found.samples:,} samples where {structure.rows:,} are committed: "
            "damaged"
        )
    return _checked(found, where)


def _from_fields(
    group_at: Callable[[str], Group], structure: Structure, tensor: StoredTensor
) -> Statistics:
    layer, _, name = tensor.dataset.rpartition("/")
    group = group_at(f"{layer}/{group_name(name)}")
    channels = channels_of(tensor.shape, tensor.axes[1:])
    top, *_ = guarded.plain_dataset(group, "top-values").shape or (0,)
    if top > MAXIMUM_TOP:
        raise group.content.damaged(f"{group.name} has {top} top samples, more than {MAXIMUM_TOP}")
    values: dict[str, Any] = {
        field.attribute: _values(group, field, field.shape(channels, top)) for field in FIELDS
    }
    found = Statistics(samples=structure.rows, **values)
    return _checked(found, f"{structure.name}: the statistics of {tensor.dataset}")


def _checked(found: Statistics, where: str) -> Statistics:
    """The same, if its samples are such."""
    top = found.top_samples
    if top.size and not (int(top.min()) >= -1 and int(top.max()) < found.samples):
        raise FormatError(
            f"{where} have a top sample that is none of the {found.samples:,}: damaged"
        )
    return found


def _values(group: Group, field: Field, shape: tuple[int, ...]) -> Array:
    found = guarded.plain_dataset(group, field.name)
    if found.shape != shape or found.dataset.type != field.dtype:
        raise group.content.damaged(
            f"{found.dataset.name} has shape {found.shape} and dtype {found.dataset.type}, not "
            f"{shape} and {field.dtype}; histograms have {BINS} bins"
        )
    return found.read()
