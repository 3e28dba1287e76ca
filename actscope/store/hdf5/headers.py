"""The header of an object: a list of messages, each of which says one thing about it."""

import struct

from actscope.store.hdf5.content import Content

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15

SHARED = 2
"""The flag of a message that stands elsewhere: none of those that are read here may."""

_PREFIX = struct.Struct("<BxH4xI4x")
_MESSAGE = struct.Struct("<HHBxxx")
_SPAN = struct.Struct("<QQ")

Messages = dict[int, list[bytes]]
"""What the messages of each kind hold."""

NEWER = (
    "is of a newer layout of HDF5 than recordings have: write it anew with the library's "
    "defaults (libver='earliest')"
)


def read_messages(content: Content, address: int, where: str) -> Messages:
    """The messages of the object at `address`, by kind.

    Raises:
        FormatError: there is no header of the first version, or it is damaged.
    """
    version, count, size = _PREFIX.unpack(content.at(address, _PREFIX.size, where))
    if version != 1:
        newer = content.at(address, 4, where) == b"OHDR"
        raise content.damaged(f"{where} {NEWER if newer else 'is no object: damaged'}")
    found: Messages = {}
    blocks = [(address + _PREFIX.size, size)]
    for offset, length in blocks:  # which grow meanwhile, by one for each of `count` messages
        block = content.at(offset, length, where)
        place = 0
        while count and place + _MESSAGE.size <= length:
            kind, width, flags = _MESSAGE.unpack_from(block, place)
            start = place + _MESSAGE.size
            place = start + width
            if place > length:
                raise content.damaged(f"{where}: a message reaches beyond its header: damaged")
            count -= 1
            if kind == CONTINUATION and width >= _SPAN.size:
                blocks.append(_SPAN.unpack_from(block, start))
            elif kind in found and not flags & SHARED:
                found[kind].append(block[start:place])
            elif kind and not flags & SHARED:
                found[kind] = [block[start:place]]
    return found
