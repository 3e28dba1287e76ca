"""Compares the committed rows of a recording with the checksums that it holds."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import h5py
import numpy as np

from actscope.dtypes import raw_dtype
from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store import schema
from actscope.store.checksums import checksum, covering
from actscope.store.findings import Finding
from actscope.store.stored_checksums import StoredChecksums, read_checksums, read_slots
from actscope.store.structure import UNREADABLE, StoredTensor, Structure, read_structure


def check(path: Path) -> list[Finding]:
    """Every block of committed rows that differs from its checksum, and every unusable checksum.

    Files without checksums, such as those of format 1.0.0, have no findings.

    Raises:
        FormatError: the file is not a recording, or its structure is damaged.
    """
    structure = read_structure(path)
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            if schema.CHECKSUMS not in file:
                return []
            stored = list(read_checksums(file, structure.samples))
            slots = read_slots(file)  # after what they speak of: a run may be writing it
    except (FormatError, *UNREADABLE) as error:
        return [Finding(f"/{schema.CHECKSUMS}", f"cannot be read: {error}")]
    return [finding for sums in stored for finding in _check(path, structure, sums, slots)]


def _check(
    path: Path, structure: Structure, sums: StoredChecksums, slots: tuple[int, ...]
) -> Iterator[Finding]:
    tensor = next((known for known in structure.tensors if known.dataset == sums.tensor), None)
    if tensor is None:
        yield Finding(sums.name, f"covers {sums.tensor!r}, which is not there")
        return
    rows = stored_rows(path, tensor, 0, structure.rows)
    known = covering(sums.entries, slots, sums.rows_per_block, structure.samples, structure.rows)
    for start, stop, expected in known:
        if checksum(rows[start:stop]) != expected:
            yield Finding(tensor.dataset, f"rows {start} to {stop - 1} differ from their checksum")


def stored_rows(path: Path, tensor: StoredTensor, start: int, stop: int) -> Array:
    """Rows as they are stored, mapped from the file."""
    shape = (stop - start, *tensor.shape)
    dtype = raw_dtype(tensor.dtype)
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", tensor.offset + start * tensor.bytes_per_sample, shape)
