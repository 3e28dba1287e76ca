"""Texts that stand outside of the headers: names in local heaps, attributes in global ones."""

import struct

from actscope.store.hdf5.content import Content

LONGEST_NAME = 4096

_LOCAL = struct.Struct("<4sB3xQQQ")
_COLLECTION = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HHxxxxQ")
_REFERENCE = struct.Struct("<IQI")


def local_heap(content: Content, address: int, where: str) -> bytes:
    """The names of a group's members, one after another.

    Raises:
        FormatError: there is no such heap.
    """
    signature, version, size, _, start = _LOCAL.unpack(content.at(address, _LOCAL.size, where))
    if signature != b"HEAP" or version:
        raise content.damaged(f"{where}: the names of its members are missing: damaged")
    return content.at(start, size, where)


def name_in(content: Content, heap: bytes, offset: int, where: str) -> str:
    """A name in a local heap, which a zero byte ends.

    Raises:
        FormatError: there is none, or none that ends.
    """
    end = heap.find(0, offset, offset + LONGEST_NAME + 1)
    if end <= offset:
        raise content.damaged(f"{where}: a member has no name, or an endless one: damaged")
    content.spend(end - offset)
    return heap[offset:end].decode(errors="backslashreplace")


def global_text(content: Content, reference: bytes, limit: int, where: str) -> bytes:
    """A text of any length, to which 16 bytes refer.

    Raises:
        FormatError: it is not there, or longer than `limit`.
    """
    length, address, index = _REFERENCE.unpack(reference)
    if length > limit:
        raise content.damaged(f"{where} has {length:,} bytes, more than {limit:,}")
    if not length:
        return b""
    if address not in content.heaps:
        content.heaps[address] = _collection(content, address, where)
    found = content.heaps[address].get(index)
    if found is None or len(found) < length:
        raise content.damaged(f"{where}: its text is not there: damaged")
    content.spend(length)
    return found[:length]


def _collection(content: Content, address: int, where: str) -> dict[int, bytes]:
    """The texts of a global heap's collection, by their number.

    Each takes 16 bytes or more, so this ends; HDF5 1.14.6 goes on for ever where free room is of 0.
    """
    signature, version, size = _COLLECTION.unpack(content.at(address, _COLLECTION.size, where))
    if signature != b"GCOL" or version != 1:
        raise content.damaged(f"{where}: its text is not there: damaged")
    held = content.at(address, size, where)
    found: dict[int, bytes] = {}
    place = _COLLECTION.size
    while place + _OBJECT.size <= len(held):
        index, _, width = _OBJECT.unpack_from(held, place)
        start = place + _OBJECT.size
        if index == 0 or start + width > len(held):  # from here on it is free
            break
        found[index] = held[start : start + width]
        place = start + (width + 7) // 8 * 8
    return found
