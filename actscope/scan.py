"""Takes batches into running statistics by the code of `scan.c`, where that was compiled.

`hatch_build.py` compiles it when actscope is built, if there is a compiler. Nothing needs it:
`statistics.py` does the same with NumPy, more slowly (see benchmarks/RESULTS.md).
"""

import ctypes
import sys
import threading
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.histogram import BINS

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint32]

LIBRARY = Path(__file__).with_name("libscan.so")
"""Where the compiled code is, under this name on every system."""

SOURCE = Path(__file__).with_name("scan.c")
"""What it is compiled from; its checksum is in the library, which must not be that of another."""

_BINS_AND_NONE = BINS + 1
_of_this_thread = threading.local()


@cache
def _compiled() -> Callable[..., None] | None:
    if sys.byteorder != "little":
        return None  # as the state is kept, which the code works on
    try:
        library = ctypes.CDLL(str(LIBRARY))
        compiled_from = ctypes.c_uint32.in_dll(library, "actscope_scan_source").value
        if compiled_from != zlib.crc32(SOURCE.read_bytes()):
            return None
    except (OSError, ValueError):
        return None
    function: Any = library.actscope_scan
    function.argtypes = [ctypes.c_void_p] * 9
    function.restype = None
    return function  # type: ignore[no-any-return]


def is_compiled() -> bool:
    """Whether there is compiled code to call."""
    return _compiled() is not None


def take_in(
    values: Rows, first: int, floats: Floats, integers: Integers, histogram: Integers
) -> None:
    """Take in the next samples; the interpreter's lock is released meanwhile.

    Args:
        values: `(n, positions, C, inner)`, in order in memory and aligned.
        first: the position of the first of them.
        floats: mean, sum of squared deviations, minimum and maximum so far, then the largest of the
            samples' maxima, the largest first, `(4 + K, C)`.
        integers: how many are finite, zero, and not finite so far, then the samples of these
            maxima, `(3 + K, C)`.
        histogram: how many are in each bin so far, `(BINS,)`.
    """
    function = _compiled()
    assert function is not None, "asked for only where is_compiled()"
    channels = values.shape[2]
    shape = np.array([*values.shape, first, len(floats) - 4], np.int64)
    sums, counts = np.zeros((2, channels)), np.zeros((2, channels), np.int64)
    # The least and the greatest, room for those of a few samples, and the least that are kept.
    extremes = np.full((4, channels), -np.inf, np.float32)
    extremes[0] = np.inf
    if len(floats) > 4:
        extremes[3] = floats[-1]
    arrays = (values, shape, floats, integers, histogram, sums, counts, extremes, _empty_pairs())
    function(*(array.ctypes.data for array in arrays))


def _empty_pairs() -> Counts:
    """Room for counts of pairs of bins, which are none: each call leaves it as it was."""
    if not hasattr(_of_this_thread, "pairs"):
        _of_this_thread.pairs = np.zeros((2, _BINS_AND_NONE, _BINS_AND_NONE), np.uint32)
    pairs: Counts = _of_this_thread.pairs
    return pairs
