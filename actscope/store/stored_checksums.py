"""Reads the checksums that a recording holds, from a file that anyone may have written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from actscope.errors import FormatError
from actscope.store import schema
from actscope.store.checksums import SLOTS


@dataclass(frozen=True)
class StoredChecksums:
    """The checksums of one tensor, as a file holds them.

    Attributes:
        name: the dataset that holds them.
        tensor: the dataset whose rows they cover.
        rows_per_block: rows of every block but the last.
        entries: the two slots, then one entry per block.
    """

    name: str
    tensor: str
    rows_per_block: int
    entries: tuple[int, ...]


def read_slots(file: h5py.File) -> tuple[int, ...]:
    """How many rows each slot is good for.

    Raises:
        FormatError: the file has no such list.
    """
    group = _own(file, schema.CHECKSUMS, h5py.Group)
    return _numbers(_own(group, schema.SLOTS, h5py.Dataset), "<i8", SLOTS)


def read_checksums(file: h5py.File, samples: int) -> Iterator[StoredChecksums]:
    """The checksums of one tensor after another, in a recording of `samples` planned rows.

    Raises:
        FormatError: one is not what docs/format.md says.
    """
    group = _own(file, schema.CHECKSUMS, h5py.Group)
    for name in group:
        member = _own(group, name, h5py.Dataset)
        if schema.DATASET not in member.attrs:
            continue  # the slots, or a scale
        rows_per_block = _attribute(member, schema.ROWS_PER_BLOCK)
        if not isinstance(rows_per_block, np.int64) or rows_per_block < 1:
            raise FormatError(f"{member.name} does not say how many rows it takes together")
        blocks = -(-samples // int(rows_per_block))
        yield StoredChecksums(
            name=member.name,
            tensor=str(_attribute(member, schema.DATASET)),
            rows_per_block=int(rows_per_block),
            entries=_numbers(member, "<u4", SLOTS + blocks),
        )


def _own(group: h5py.Group, name: str, kind: type) -> Any:
    """A member of a group that stands in this very file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FormatError(f"{group.name.rstrip('/')}/{name} is missing, or a link out of the group")
    member = group[name]
    if not isinstance(member, kind):
        raise FormatError(f"{member.name} is a {type(member).__name__}, not a {kind.__name__}")
    return member


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    attribute = dataset.attrs.get_id(name)
    if attribute.shape != () or attribute.get_storage_size() > schema.MAXIMUM_ATTRIBUTE:
        raise FormatError(f"attribute {name!r} of {dataset.name} is not a single short value")
    return dataset.attrs[name]


def _numbers(dataset: h5py.Dataset, dtype: str, length: int) -> tuple[int, ...]:
    """Whole numbers of a dataset, after a look at how it is stored."""
    plain = dataset.shape == (length,) and dataset.dtype == dtype and dataset.chunks is None
    if not plain or dataset.is_virtual or dataset.external:
        raise FormatError(f"{dataset.name} is not a plain list of {length} numbers of type {dtype}")
    if length * dataset.dtype.itemsize > dataset.id.get_storage_size():
        raise FormatError(f"{dataset.name} declares more bytes than it stores")
    return tuple(int(value) for value in dataset[:])
