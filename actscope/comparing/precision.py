"""What the number formats can resolve: their unit roundoff, and their units in the last place.

Pure: no recording is read here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NumberFormat:
    """A binary floating-point format (IEEE 754-2019, section 3.3).

    Attributes:
        digits: of the significand, in bits, the leading one included.
        least_exponent: of the smallest normal number, as a power of 2.
    """

    digits: int
    least_exponent: int

    @property
    def unit_roundoff(self) -> float:
        """The largest relative error of rounding to nearest, 2 to the power of -digits."""
        return 2.0**-self.digits


FORMATS = {
    "float64": NumberFormat(53, -1022),
    "float32": NumberFormat(24, -126),
    "tensorfloat32": NumberFormat(11, -126),
    "float16": NumberFormat(11, -14),
    "bfloat16": NumberFormat(8, -126),
}

_UNIT_ROUNDOFF_OF_POLICY = {
    **{name: known.unit_roundoff for name, known in FORMATS.items()},
    "int8": 2.0**-8,  # half of a step of 1/127 of the largest value
    "float8": 2.0**-4,
    "int4": 2.0**-4,
}

_FRACTION_BITS, _EXPONENT_BIAS = 52, 1023  # of float64

NOT_COMPARED = ("float8_e4m3fn", "float8_e5m2")
"""Logical dtypes that a recording hands out as bare bytes, which are no numbers to subtract."""


def dtype_roundoff(dtype: str) -> float:
    """The unit roundoff of a logical dtype; 0 for whole numbers, which are exact."""
    return FORMATS[dtype].unit_roundoff if dtype in FORMATS else 0.0


def policy_roundoff(policy: str) -> float:
    """The coarsest unit roundoff that a dtype policy of Keras names, such as `"mixed_float16"`.

    Quantized policies name two: `"int8_from_mixed_bfloat16"`. 0 where none is known.
    """
    parts = [part.removeprefix("mixed_") for part in policy.split("_from_")]
    return max((_UNIT_ROUNDOFF_OF_POLICY.get(part, 0.0) for part in parts), default=0.0)


def coarser(first: str, second: str) -> NumberFormat | None:
    """The format with fewer digits of two logical dtypes; None where neither is a float."""
    known = [FORMATS[dtype] for dtype in (first, second) if dtype in FORMATS]
    return min(known, key=lambda found: found.digits, default=None)


def last_place(magnitudes: Values, number_format: NumberFormat | None) -> Values:
    """The unit in the last place of each of `magnitudes`, which are not negative, float64.

    It is the distance between neighbouring numbers of the format in the binade of the magnitude
    (Muller et al., Handbook of Floating-Point Arithmetic, 2018, section 2.3.2), also for values
    that stand in a wider format; 1 for whole numbers.
    """
    if number_format is None:
        return np.ones_like(magnitudes)
    if number_format.digits == FORMATS["float64"].digits:
        return np.asarray(np.spacing(magnitudes))
    # The exponent's bits are read and made by hand: frexp and ldexp take ten times as long.
    exponents = (magnitudes.view(np.int64) >> _FRACTION_BITS) - _EXPONENT_BIAS
    exponents = np.maximum(exponents, number_format.least_exponent) - number_format.digits + 1
    return np.asarray(((exponents + _EXPONENT_BIAS) << _FRACTION_BITS).view(np.float64))
