"""The members of a group of many, where one has a name beyond ASCII or leads out of the file.

HDF5 keeps these in another way than others: in a heap of blocks that double in size, with a second
kind of B-tree to find them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from actscope.store.hdf5.content import Content

_HEAP = struct.Struct("<4sBHHBI96xHQQHHQH")
_TREE = struct.Struct("<4sBBIHHBBQH")
_NODE = struct.Struct("<4sBB")
_ADDRESS = struct.Struct("<Q")
_CHECKSUM = 4
_NAMES = 5
_HASH = 4
_KIND_OF_OBJECT = 0x30
_DEEPEST = 8


def heap_objects(content: Content, heap: int, tree: int, where: str) -> Iterator[bytes]:
    """The objects of a heap to which the tree of names leads.

    Raises:
        FormatError: heap or tree is damaged.
    """
    blocks = _read_heap(content, heap, where)
    for record in _records(content, tree, where):
        yield blocks.object(record[_HASH:], where)


def _encoded_width(largest: int) -> int:
    """Bytes that the library takes for a number of at most `largest`."""
    return max(0, largest.bit_length() - 1) // 8 + 1


def _records(content: Content, tree: int, where: str) -> Iterator[bytes]:
    """All records of a B-tree of the second version."""
    signature, _, kind, node_size, width, depth, _, _, root, count = _TREE.unpack(
        content.at(tree, _TREE.size, where)
    )
    room = node_size - _NODE.size - _CHECKSUM
    if signature != b"BTHD" or kind != _NAMES or depth > _DEEPEST or not _HASH < width <= room:
        raise content.damaged(f"{where}: the tree of its members is damaged")
    most = room // width
    few, below = _encoded_width(most), [0]
    total = most
    for _ in range(depth):
        pointer = _ADDRESS.size + few + below[-1]
        here = max(0, room - pointer) // (width + pointer)
        total = (here + 1) * total + here
        below.append(_encoded_width(total))
    yield from _of_node(content, (root, count, depth), (width, few, below), where)


def _of_node(
    content: Content,
    node: tuple[int, int, int],
    widths: tuple[int, int, list[int]],
    where: str,
) -> Iterator[bytes]:
    """The records of a node, at an address, of so many records and levels below it."""
    address, count, depth = node
    width, few, below = widths
    pointer = _ADDRESS.size + few + below[depth - 1] if depth else 0
    size = _NODE.size + count * width + (count + 1) * pointer
    held = content.at(address, size, where)
    if held[:4] != (b"BTIN" if depth else b"BTLF"):
        raise content.damaged(f"{where}: the tree of its members is damaged")
    end = _NODE.size + count * width
    for place in range(_NODE.size, end, width):
        yield held[place : place + width]
    for place in range(end, size, pointer or size):
        (child,) = _ADDRESS.unpack_from(held, place)
        start = place + _ADDRESS.size
        inside = int.from_bytes(held[start : start + few], "little")
        yield from _of_node(content, (child, inside, depth - 1), widths, where)


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a heap, which lie one after another in a space of its own.

    Attributes:
        content: the file.
        root: where the first block stands.
        rows: of blocks that the first one lists; 0 where it holds objects itself.
        width: how many blocks a row has.
        smallest: bytes of a block of the first two rows; of each next row they are twice as large.
        direct_rows: how many rows hold objects; blocks of later rows list others.
        place_width: bytes of a place in the heap.
    """

    content: Content
    root: int
    rows: int
    width: int
    smallest: int
    direct_rows: int
    place_width: int

    def object(self, name: bytes, where: str) -> bytes:
        """The object of that name, which is a kind, a place and a length."""
        place = int.from_bytes(name[1 : 1 + self.place_width], "little")
        length = int.from_bytes(name[1 + self.place_width :], "little")
        if name[0] & _KIND_OF_OBJECT:
            raise self.content.damaged(f"{where}: the list of its members is damaged")
        address, rows, is_direct = self.root, self.rows, not self.rows
        while not is_direct:
            address, place, rows, is_direct = self._below(address, place, rows, where)
        return self.content.at(address + place, length, where)

    def _below(self, address: int, place: int, rows: int, where: str) -> tuple[int, int, int, bool]:
        """The block that holds a place of the block that lists it, and the place in that."""
        size = self.smallest
        for row in range(rows):
            size = self.smallest << max(0, row - 1)
            if place < size * self.width:
                break
            place -= size * self.width
        else:
            raise self.content.damaged(f"{where}: the list of its members is damaged")
        head = 4 + 1 + _ADDRESS.size + self.place_width
        entry = address + head + _ADDRESS.size * (row * self.width + place // size)
        (child,) = _ADDRESS.unpack(self.content.at(entry, _ADDRESS.size, where))
        first_row = self.smallest * self.width
        inside = max(0, (size // first_row).bit_length())
        return child, place % size, inside, row < self.direct_rows


def _read_heap(content: Content, address: int, where: str) -> _Blocks:
    signature, _, _, filters, _, _, width, smallest, largest, bits, _, root, rows = _HEAP.unpack(
        content.at(address, _HEAP.size, where)
    )
    is_sound = 0 < smallest <= largest <= 2**32 and 0 < width <= 2**10 and rows <= 2**6
    if signature != b"FRHP" or filters or not is_sound or bits > 64:
        raise content.damaged(f"{where}: the list of its members is damaged")
    direct_rows = (largest // smallest).bit_length() + 1
    return _Blocks(content, root, rows, width, smallest, direct_rows, -(-bits // 8))
