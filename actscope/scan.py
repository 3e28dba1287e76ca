"""Takes batches into running statistics by the code of `scan.c`, where that was compiled.

`hatch_build.py` compiles it when actscope is built, if there is a compiler. Nothing needs it: NumPy
gives the same in four times the time.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LIBRARY = Path(__file__).with_name("libscan.so")
"""Where the compiled code is, under this name on every system."""


@cache
def _compiled() -> Callable[..., None] | None:
    if sys.byteorder != "little":
        return None  # as the state is kept, which the code works on
    try:
        function: Any = ctypes.CDLL(str(LIBRARY)).actscope_scan
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p] * 6
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
        values: `(n, positions, C, inner)`, in order in memory.
        first: the position of the first of them.
        floats: mean, sum of squared deviations, minimum and maximum so far, then the largest of the
            samples' maxima, the largest first, `(4 + K, C)`.
        integers: how many are finite, zero, and not finite so far, then the samples of these
            maxima, `(3 + K, C)`.
        histogram: how many are in each bin so far, `(BINS,)`.
    """
    function = _compiled()
    assert function is not None, "asked for only where is_compiled()"
    shape = np.array([*values.shape, first, len(floats) - 4], np.int64)
    highest = np.full(values.shape[2], -np.inf, np.float32)
    arrays = (values, shape, floats, integers, histogram, highest)
    function(*(array.ctypes.data for array in arrays))
