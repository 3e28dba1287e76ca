"""How a dataset's elements are stored: where, in what pieces, and through which filters."""

import struct
from typing import NamedTuple

COMPACT, CONTIGUOUS, CHUNKED, NEWER_CHUNKS, VIRTUAL = (
    "compact",
    "contiguous",
    "chunked",
    "chunked in a newer way",
    "virtual",
)

_VERSION_3 = (COMPACT, CONTIGUOUS, CHUNKED)
_VERSION_4 = (COMPACT, CONTIGUOUS, NEWER_CHUNKS, VIRTUAL)
_PLACE = struct.Struct("<QQ")
_TREE = struct.Struct("<BQ")
_LENGTH = 4
_STAGE = struct.Struct("<HHHH")
_SHORT_STAGE = struct.Struct("<HHH")
_FIRST_WITH_NAME = 256


class Layout(NamedTuple):
    """Where a dataset is: its first byte and size, or the tree of its chunks and their shape."""

    kind: str
    offset: int = 0
    size: int = 0
    chunk: tuple[int, ...] = ()


def layout_of(message: bytes) -> Layout | None:
    """What a layout message says, or None where it says nothing that is known.

    The shape of a chunk has the size of an element as its last length.
    """
    if len(message) < 2:
        return None
    kinds = {3: _VERSION_3, 4: _VERSION_4}.get(message[0], ())
    kind = kinds[message[1]] if message[1] < len(kinds) else None
    if kind == CONTIGUOUS and len(message) >= 2 + _PLACE.size:
        return Layout(kind, *_PLACE.unpack_from(message, 2))
    if kind == CHUNKED and len(message) >= 2 + _TREE.size:
        rank, tree = _TREE.unpack_from(message, 2)
        start = 2 + _TREE.size
        if len(message) < start + rank * _LENGTH:
            return None
        return Layout(kind, tree, 0, struct.unpack_from(f"<{rank}I", message, start))
    return None if kind in (None, CONTIGUOUS, CHUNKED) else Layout(kind)


def filters_of(message: bytes) -> tuple[int, ...] | None:
    """The numbers of the filters of a pipeline message, or None where it is no such."""
    try:
        version, count = message[0], message[1]
        place = {1: 8, 2: 2}[version]
        numbers = []
        for _ in range(count):
            number, name, values, place = _stage(message, place, version)
            numbers.append(number)
            place += name + 4 * (values + (values & 1 if version == 1 else 0))
    except (IndexError, KeyError, struct.error):
        return None
    return tuple(numbers)


def _stage(message: bytes, place: int, version: int) -> tuple[int, int, int, int]:
    """A filter's number, the bytes of its name, how many values it has, and where these begin."""
    if version == 1 or message[place + 1] * 256 + message[place] >= _FIRST_WITH_NAME:
        number, name, _, values = _STAGE.unpack_from(message, place)
        return number, (name + 7) // 8 * 8 if version == 1 else name, values, place + _STAGE.size
    number, _, values = _SHORT_STAGE.unpack_from(message, place)
    return number, 0, values, place + _SHORT_STAGE.size
