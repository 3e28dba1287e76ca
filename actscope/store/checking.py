"""Compares the committed rows of a recording with the checksums that it holds."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.dtypes import raw_dtype
from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store import schema
from actscope.store.checksums import SLOTS, checksum, covering
from actscope.store.findings import Finding
from actscope.store.structure import StoredTensor, Structure, read_structure


def check(path: Path) -> list[Finding]:
    """Every block of committed rows that differs from its checksum, and every unusable checksum.

    Files without checksums, such as those of format 1.0.0, have no findings.

    Raises:
        FormatError: the file is not a recording, or its structure is damaged.
    """
    structure = read_structure(path)
    with h5py.File(path, "r", locking="best-effort") as file:
        if schema.CHECKSUMS not in file:
            return []
        try:
            return list(_check_group(file, structure, path))
        except (FormatError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            return [Finding(f"/{schema.CHECKSUMS}", f"cannot be read: {error}")]


def _check_group(file: h5py.File, structure: Structure, path: Path) -> Iterator[Finding]:
    group = _own(file, schema.CHECKSUMS, h5py.Group)
    slots = _numbers(_own(group, schema.SLOTS, h5py.Dataset), "<i8", SLOTS)
    tensors = {tensor.dataset: tensor for tensor in structure.tensors}
    for name in group:
        member = _own(group, name, h5py.Dataset)
        if schema.DATASET not in member.attrs:
            continue  # the slots, or a scale
        tensor = tensors.get(_attribute(member, schema.DATASET))
        rows_per_block = _attribute(member, schema.ROWS_PER_BLOCK)
        if tensor is None or not isinstance(rows_per_block, np.int64) or rows_per_block < 1:
            yield Finding(member.name, "does not say which rows it covers")
            continue
        size = int(rows_per_block)
        entries = _numbers(member, "<u4", SLOTS - (-structure.samples // size))
        known = covering(entries, slots, size, structure.samples, structure.rows)
        yield from _damage(path, tensor, structure.rows, known)


def _damage(
    path: Path, tensor: StoredTensor, rows: int, known: Iterator[tuple[int, int, int]]
) -> Iterator[Finding]:
    """The blocks of a tensor's committed rows that are not what their checksums say."""
    stored = _stored_rows(path, tensor, rows)
    for start, stop, expected in known:
        if checksum(stored[start:stop]) != expected:
            yield Finding(tensor.dataset, f"rows {start} to {stop - 1} differ from their checksum")


def _stored_rows(path: Path, tensor: StoredTensor, rows: int) -> Array:
    shape = (rows, *tensor.shape)
    dtype = raw_dtype(tensor.dtype)
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", tensor.offset, shape)


def _own(group: h5py.Group, name: str, kind: type) -> Any:
    """A member of a group that stands in this very file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FormatError(f"{name!r} is missing or a link out of the group")
    member = group[name]
    if not isinstance(member, kind):
        raise FormatError(f"{member.name} is a {type(member).__name__}, not a {kind.__name__}")
    return member


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    attribute = dataset.attrs.get_id(name)
    if attribute.shape != () or attribute.get_storage_size() > schema.MAXIMUM_ATTRIBUTE:
        raise FormatError(f"attribute {name!r} of {dataset.name} is not a single short value")
    return dataset.attrs[name]


def _numbers(dataset: h5py.Dataset, dtype: str, length: int) -> list[int]:
    """Whole numbers of a dataset, after a look at how it is stored."""
    declared = length * np.dtype(dtype).itemsize
    plain = dataset.shape == (length,) and dataset.dtype == dtype and dataset.chunks is None
    if not plain or dataset.is_virtual or dataset.external:
        raise FormatError(f"{dataset.name} is not a plain list of {length} numbers of type {dtype}")
    if declared > dataset.id.get_storage_size():
        raise FormatError(f"{dataset.name} declares more bytes than it stores")
    return [int(value) for value in dataset[:]]
