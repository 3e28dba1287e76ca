"""The logical dtypes that a recording can hold, and the NumPy dtypes in which they are stored."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

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


def widened(stored: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Values as NumPy has them, of what is stored: bfloat16 and float8 become float32."""
    if dtype == "bfloat16":
        # The upper half of a float32. Copying halves is twice as fast as shifting whole values.
        halves = np.zeros((*stored.shape, 2), np.uint16)
        halves[..., 1] = stored
        return np.asarray(halves.reshape(-1).view(np.float32).reshape(stored.shape))
    if dtype == "bool":
        return stored.astype(bool)
    if dtype == "float8_e5m2":
        wide: npt.NDArray[np.uint16] = np.left_shift(stored, 8, dtype=np.uint16)
        return np.array(wide.view(np.float16), np.float32)
    if dtype == "float8_e4m3fn":
        return np.take(_e4m3fn_values(), stored)
    return stored


@cache
def widened_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy dtype of what `widened` returns."""
    return widened(np.empty(0, raw_dtype(dtype)), dtype).dtype


def narrowed(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Floating-point values as they are stored in a narrower dtype, rounded to nearest even."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(raw_dtype(dtype))
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet = (bits >> 16) | 0x40  # rounding could make an infinity of a NaN
    return np.where(np.isnan(values), quiet, rounded).astype("<u2")


def _e4m3fn_values() -> npt.NDArray[np.float32]:
    """The value of each byte: sign, 4 bits of exponent with bias 7, 3 of mantissa, no infinities.

    Source: Micikevicius et al., "FP8 formats for deep learning", 2022, table 1.
    """
    byte = np.arange(256)
    exponent, mantissa = (byte >> 3) & 15, byte & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    values = np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)
    values[(byte & 127) == 127] = np.nan
    return np.where(byte < 128, values, -values).astype(np.float32)
