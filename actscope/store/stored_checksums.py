"""Reads the checksums that a recording holds, from a file that anyone may have written."""

from collections.abc import Iterator
from dataclasses import dataclass

from actscope.store import guarded, schema
from actscope.store.checksums import SLOTS
from actscope.store.hdf5.objects import Dataset, Group


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


def read_slots(root: Group) -> tuple[int, ...]:
    """How many rows each slot is good for.

    Raises:
        FormatError: the file has no such list.
    """
    group = guarded.member(root, schema.CHECKSUMS, Group)
    return guarded.plain_numbers(group, schema.SLOTS, "<i8", SLOTS)


def read_checksums(root: Group, samples: int) -> Iterator[StoredChecksums]:
    """The checksums of one tensor after another, in a recording of `samples` planned rows.

    None where the file has none, or such as this reader does not know.

    Raises:
        FormatError: one is not what docs/format.md says.
    """
    if schema.CHECKSUMS not in root.links:
        return
    group = guarded.member(root, schema.CHECKSUMS, Group)
    if guarded.text(group, schema.ALGORITHM) != schema.CRC32:
        return
    for name in group.links:
        dataset = guarded.member(group, name, Dataset)
        if dataset.attribute(schema.DATASET) is None:
            continue  # the slots, or a scale
        rows_per_block = guarded.number(dataset, schema.ROWS_PER_BLOCK)
        if rows_per_block < 1:
            raise root.content.damaged(
                f"{dataset.name} does not say how many rows it takes together"
            )
        blocks = -(-samples // rows_per_block)
        yield StoredChecksums(
            name=dataset.name,
            tensor=guarded.text(dataset, schema.DATASET),
            rows_per_block=rows_per_block,
            entries=guarded.plain_numbers(group, name, "<u4", SLOTS + blocks),
        )
