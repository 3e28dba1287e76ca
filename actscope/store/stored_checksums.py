"""Reads the checksums that a recording holds, from a file that anyone may have written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.errors import FormatError
from actscope.store import guarded, schema
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


def read_slots(file: h5py.File, path: Path) -> tuple[int, ...]:
    """How many rows each slot is good for.

    Raises:
        FormatError: the file has no such list.
    """
    group = guarded.member(file, schema.CHECKSUMS, h5py.Group, path)
    return guarded.plain_numbers(group, schema.SLOTS, "<i8", SLOTS, path)


def read_checksums(file: h5py.File, samples: int, path: Path) -> Iterator[StoredChecksums]:
    """The checksums of one tensor after another, in a recording of `samples` planned rows.

    There are none where they are of an algorithm that is not known.

    Raises:
        FormatError: one is not what docs/format.md says.
    """
    group = guarded.member(file, schema.CHECKSUMS, h5py.Group, path)
    if guarded.text(group, schema.ALGORITHM, path) != schema.CRC32:
        return
    for name in group:
        dataset = guarded.member(group, name, h5py.Dataset, path)
        if schema.DATASET not in dataset.attrs:
            continue  # the slots, or a scale
        rows_per_block = _attribute(dataset, schema.ROWS_PER_BLOCK)
        if not isinstance(rows_per_block, np.int64) or rows_per_block < 1:
            raise FormatError(f"{dataset.name} does not say how many rows it takes together")
        blocks = -(-samples // int(rows_per_block))
        yield StoredChecksums(
            name=dataset.name,
            tensor=str(_attribute(dataset, schema.DATASET)),
            rows_per_block=int(rows_per_block),
            entries=guarded.plain_numbers(group, name, "<u4", SLOTS + blocks, path),
        )


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    attribute = dataset.attrs.get_id(name)
    if attribute.shape != () or attribute.get_storage_size() > schema.MAXIMUM_ATTRIBUTE:
        raise FormatError(f"attribute {name!r} of {dataset.name} is not a single short value")
    return dataset.attrs[name]
