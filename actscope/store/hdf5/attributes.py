"""The attributes of an object: what each holds, undecoded."""

import struct
from typing import NamedTuple

from actscope.store.hdf5.headers import ATTRIBUTE, Messages
from actscope.store.hdf5.types import shape_of, type_name

_HEAD = struct.Struct("<BxHHH")
_NAME_AT = {1: 8, 2: 8, 3: 9}
_IS_PADDED = 1


class Attribute(NamedTuple):
    """An attribute: the type of its elements as `type_name` has it, their shape, their bytes."""

    type: str
    shape: tuple[int, ...] | None
    data: bytes


def find_attribute(messages: Messages, name: str) -> Attribute | None:
    """The attribute of that name, or None; it may be of no use, with no type or shape."""
    begin = name.encode() + b"\0"
    for message in messages.get(ATTRIBUTE, ()):
        start = 9 if message[:1] == b"\3" else 8
        if message.startswith(begin, start):
            return _attribute(message, start)
    return None


def _attribute(message: bytes, place: int) -> Attribute:
    version, *sizes = _HEAD.unpack_from(message)
    parts = []
    for size in sizes:
        parts.append(message[place : place + size])
        place += (size + 7) // 8 * 8 if version == _IS_PADDED else size
    return Attribute(type_name(parts[1]), shape_of(parts[2]), message[place:])
