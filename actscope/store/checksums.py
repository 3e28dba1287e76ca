"""CRC-32 checksums over blocks of rows: which there are, how they grow, and what each covers.

A module of its own and pure, so that the writer and the check of a file go by the same rules; they
are those of docs/format.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from isal.isal_zlib import crc32

from actscope.protocol import Array
from actscope.store.schema import RecordingPlan, TensorPlan

BLOCK_BYTES = 2**20
"""A block has as many rows as fit into this, and at least one."""

SLOTS = 2
"""Entries before those of the blocks: the open block is covered by one of them at a time."""


@dataclass(frozen=True)
class ChecksumPlan:
    """The checksums of one tensor.

    Attributes:
        name: the dataset that holds them, in the group of the checksums.
        tensor: the dataset whose rows they cover, such as `"/layers/conv2d/output"`.
        rows_per_block: rows of every block but the last, which may have fewer.
        blocks: how many blocks all rows make.
    """

    name: str
    tensor: str
    rows_per_block: int
    blocks: int

    @property
    def entries(self) -> int:
        """Length of the dataset: the slots, then one entry per block."""
        return SLOTS + self.blocks


def plan_checksums(plan: RecordingPlan) -> tuple[ChecksumPlan, ...]:
    """The checksums of every tensor of `plan`, in its order."""
    plans = []
    for position, tensor in enumerate(plan.tensors):
        rows = rows_per_block(tensor)
        blocks = -(-plan.samples // rows)
        plans.append(ChecksumPlan(str(position), f"/{tensor.dataset}", rows, blocks))
    return tuple(plans)


def rows_per_block(tensor: TensorPlan) -> int:
    """How many rows of a tensor a checksum covers."""
    return max(1, BLOCK_BYTES // max(1, tensor.bytes_per_sample))


def checksum(rows: Array) -> int:
    """CRC-32 (ISO-HDLC, as in zlib and PNG) of an array's bytes."""
    return int(crc32(bytes_of(rows)))


def bytes_of(rows: Array) -> memoryview:
    """The bytes of a C-contiguous array, not copied."""
    return memoryview(rows).cast("B") if rows.size else memoryview(b"")


class RunningChecksum:
    """The checksums of one tensor while its bytes arrive.

    Attributes:
        open: checksum of what is in the block that is not full yet; 0 where there is nothing.
    """

    def __init__(self, plan: ChecksumPlan, sizes: tuple[int, int], rows: int = 0, opened: int = 0):
        """Go on from `rows`, with the checksum of those of them that are in the open block.

        Args:
            plan: the checksums to keep.
            sizes: how many bytes a row has, and how many rows there will be.
            rows: rows that went before.
            opened: their checksum, as far as they are in the open block.
        """
        bytes_per_row, samples = sizes
        self.open = opened
        self._block_bytes = plan.rows_per_block * bytes_per_row
        self._filled = rows % plan.rows_per_block * bytes_per_row
        self._left = (samples - rows) * bytes_per_row
        if not self._left:
            self.open = self._filled = 0  # the last block counts as full
        self._full: list[int] = []
        self._taken = rows // plan.rows_per_block

    @property
    def is_open(self) -> bool:
        """Whether there is something in the block that is not full."""
        return self._filled > 0

    def update(self, content: memoryview) -> None:
        """Take in the bytes of whole rows."""
        while len(content):
            taken = content[: self._block_bytes - self._filled]
            content = content[len(taken) :]
            self.open = crc32(taken, self.open)
            self._filled += len(taken)
            self._left -= len(taken)
            if self._filled == self._block_bytes or not self._left:
                self._full.append(self.open)
                self.open = self._filled = 0

    def take_full(self) -> tuple[int, list[int]]:
        """The first block that became full since the last call, and the checksums from it on."""
        first, full = self._taken, self._full
        self._taken += len(full)
        self._full = []
        return first, full


def block_checksums(parts: Iterable[Array], rows_per_block: int) -> list[int]:
    """The checksums of rows of which the first begins a block; the last block may lack some.

    Args:
        parts: C-contiguous arrays `(n, *shape)`, one after another.
        rows_per_block: rows of every block but the last.
    """
    found: list[int] = []
    left = 0
    for part in parts:
        first = 0
        while first < len(part):
            if not left:
                found.append(0)
                left = rows_per_block
            piece = part[first : first + left]
            found[-1] = crc32(bytes_of(piece), found[-1])
            first += len(piece)
            left -= len(piece)
    return found


def free_slot(slots: Sequence[int], rows: int) -> int:
    """The slot that may be written while `rows` rows are committed: not the one that holds them."""
    return 1 if slots[0] == rows else 0


def covering(
    entries: Sequence[int], slots: Sequence[int], rows_per_block: int, samples: int, rows: int
) -> Iterator[tuple[int, int, int]]:
    """What the checksums of a tensor say of its committed rows: `(start, stop, checksum)` each.

    Args:
        entries: what the dataset of checksums holds.
        slots: how many rows each slot is good for.
        rows_per_block: rows of every block but the last.
        samples: rows that are planned.
        rows: rows that are committed.
    """
    for block, start in enumerate(range(0, rows, rows_per_block)):
        stop = min(start + rows_per_block, samples)
        if stop <= rows:
            yield start, stop, int(entries[SLOTS + block])
        elif rows in slots:
            yield start, rows, int(entries[list(slots).index(rows)])
