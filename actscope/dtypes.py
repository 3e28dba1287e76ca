"""The logical dtypes that a recording can hold, and the NumPy dtypes in which they are stored."""

import numpy as np

_STORED_AS = {
    "bool": "uint8",
    "bfloat16": "uint16",
    "float8_e4m3fn": "uint8",
    "float8_e5m2": "uint8",
}

STORABLE = frozenset(
    [
        *("float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
        *_STORED_AS,
    ]
)


def raw_dtype(dtype: str) -> np.dtype[np.generic]:
    """The NumPy dtype, little-endian, in which a logical dtype is stored."""
    return np.dtype(_STORED_AS.get(dtype, dtype)).newbyteorder("<")


def itemsize(dtype: str) -> int:
    """Bytes of one element of the logical dtype `dtype`."""
    return raw_dtype(dtype).itemsize
