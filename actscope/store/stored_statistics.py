"""Reads the statistics that a recording holds, from a file that anyone may have written."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from actscope.errors import FormatError
from actscope.histogram import BINS
from actscope.statistics import Statistics
from actscope.store import guarded, schema
from actscope.store.checksums import SLOTS
from actscope.store.journal import journal_state
from actscope.store.kept_statistics import FIELDS, Field, KeptState, group_name, running_for
from actscope.store.structure import StoredTensor, Structure

MAXIMUM_TOP = 1000


def read_state(file: h5py.File, path: Path, rows: int) -> KeptState:
    """The state of all statistics after `rows` rows, of a recording that is not finished.

    Raises:
        FormatError: the file has none that is good for so many rows.
    """
    group = guarded.member(file, schema.STATISTICS, h5py.Group, path)
    slots = guarded.plain_numbers(group, schema.SLOTS, "<i8", SLOTS, path)
    if rows not in slots:
        raise FormatError(f"{path} has no statistics for its {rows:,} committed rows: damaged")
    state = guarded.plain_dataset(group, schema.STATE, path)
    if state.ndim != 2 or state.shape[0] != SLOTS or state.dtype != np.uint8:
        raise FormatError(f"{path}: {state.name} is not {SLOTS} lists of bytes")
    return KeptState(slots, state[slots.index(rows)].tobytes())


def read_statistics(path: Path, structure: Structure, tensor: StoredTensor) -> Statistics:
    """The statistics of one tensor over the committed rows.

    Raises:
        FormatError: they are damaged.
    """
    try:
        if structure.journal is not None:
            state = journal_state(structure.journal)
            return _from_state(path, structure, tensor, state)
        with h5py.File(path, "r", locking="best-effort") as file:
            if structure.is_finished:
                return _from_fields(file, path, structure, tensor)
            state = read_state(file, path, structure.rows).content
            return _from_state(path, structure, tensor, state)
    except guarded.UNREADABLE as error:
        raise FormatError(f"{path}: the statistics of {tensor.dataset}: {error}") from error


def _from_state(path: Path, structure: Structure, tensor: StoredTensor, state: bytes) -> Statistics:
    running = running_for(tensor.shape, tensor.axes[1:])
    start = structure.statistics[tensor.dataset]
    running.restore(state[start : start + running.nbytes])
    found = running.result()
    if found.samples != structure.rows:
        raise FormatError(
            f"{path}: the statistics of {tensor.dataset} are of {found.samples:,} samples where "
            f"{structure.rows:,} are committed: damaged"
        )
    return found


def _from_fields(
    file: h5py.File, path: Path, structure: Structure, tensor: StoredTensor
) -> Statistics:
    layer, _, name = tensor.dataset.rpartition("/")
    group = guarded.group_at(file, f"{layer}/{group_name(name)}", path)
    channels = running_for(tensor.shape, tensor.axes[1:], 0).channels
    top = len(guarded.plain_dataset(group, "top-values", path))
    if top > MAXIMUM_TOP:
        raise FormatError(f"{path}: {group.name} has {top} top samples, more than {MAXIMUM_TOP}")
    values: dict[str, Any] = {
        field.attribute: _values(group, field, field.shape(channels, top), path) for field in FIELDS
    }
    return Statistics(samples=structure.rows, **values)


def _values(
    group: h5py.Group, field: Field, shape: tuple[int, ...], path: Path
) -> npt.NDArray[np.generic]:
    dataset = guarded.plain_dataset(group, field.name, path)
    if dataset.shape != shape or dataset.dtype != field.dtype:
        raise FormatError(
            f"{path}: {dataset.name} has shape {dataset.shape} and dtype {dataset.dtype}, not "
            f"{shape} and {field.dtype}; histograms have {BINS} bins"
        )
    values: npt.NDArray[np.generic] = dataset[...]
    return values
