"""What the elements of a dataset or an attribute are, and how many of them there are."""

import struct
from functools import lru_cache

TEXT = "text of any length"
BFLOAT16 = "bfloat16"

_HEAD = struct.Struct("<B3sI")
_INTEGER = struct.Struct("<HH")
_FLOAT = struct.Struct("<HHBBBBI")

_FLOATS = {
    # size; bit offset, precision, place and size of exponent and of mantissa, bias; place of sign
    (2, (0, 16, 10, 5, 0, 10, 15), 15): "f2",
    (4, (0, 32, 23, 8, 0, 23, 127), 31): "f4",
    (8, (0, 64, 52, 11, 0, 52, 1023), 63): "f8",
    (2, (0, 16, 7, 8, 0, 7, 127), 15): BFLOAT16,
}
_IMPLIED_MANTISSA = 0x20
_BOOLEANS = (b"FALSE\0\0\0TRUE\0\0\0\0\0\1", b"FALSE\0TRUE\0\0\1")
"""How h5py names the two values of a boolean, and what these are; with and without padding."""


@lru_cache(maxsize=1024)
def type_name(message: bytes) -> str:
    """What a datatype message describes.

    Returns:
        NumPy's name for it, such as `"<f4"`, `"|u1"`, `"|S7"` or `"|b1"`; `BFLOAT16`; `TEXT`;
        or a few words for anything else.
    """
    if len(message) < _HEAD.size:
        return "no type"
    version_and_class, bits, size = _HEAD.unpack_from(message)
    kind, rest = version_and_class & 15, message[_HEAD.size :]
    name = f"a type of class {kind} and {size} bytes"
    if kind == 0 and len(rest) >= _INTEGER.size:
        name = _integer(bits, size, rest)
    elif kind == 1 and len(rest) >= _FLOAT.size:
        name = _float(bits, size, rest)
    elif kind == 3 and size:
        name = f"|S{size}"
    elif kind == 8 and size == 1 and any(names in rest for names in _BOOLEANS):
        name = "|b1"
    elif kind == 9 and bits[0] & 15 == 1 and size == 16:
        name = TEXT
    return name


@lru_cache(maxsize=1024)
def width_of(name: str) -> int:
    """Bytes of an element of a type that `type_name` has a short name for; 0 for any other."""
    if name == BFLOAT16:
        return 2
    return int(name[2:]) if is_numpy(name) else 0


def is_numpy(name: str) -> bool:
    """Whether NumPy has a type of that name."""
    return name[0] in "<>|"


def _integer(bits: bytes, size: int, rest: bytes) -> str:
    order, letter = bits[0] & 1, "i" if bits[0] & 8 else "u"
    if size in (1, 2, 4, 8) and _INTEGER.unpack_from(rest) == (0, 8 * size):
        return f"{'|' if size == 1 else '<>'[order]}{letter}{size}"
    return f"an integer of {size} bytes of its own making"


def _float(bits: bytes, size: int, rest: bytes) -> str:
    name = _FLOATS.get((size, _FLOAT.unpack_from(rest), bits[1]))
    order = bits[0] & 1
    if name is None or bits[0] & 0x70 != _IMPLIED_MANTISSA or (name == BFLOAT16 and order):
        return f"a float of {size} bytes of its own making"
    return name if name == BFLOAT16 else f"{'<>'[order]}{name}"


def shape_of(message: bytes) -> tuple[int, ...] | None:
    """The lengths of the axes that a dataspace message describes, or None where it is no such."""
    if len(message) < 4:
        return None
    version, rank = message[0], message[1]
    start = {1: 8, 2: 4}.get(version)
    is_simple = version == 1 or message[3] in (0, 1)
    if start is None or not is_simple or len(message) < start + 8 * rank:
        return None
    return struct.unpack_from(f"<{rank}Q", message, start)
