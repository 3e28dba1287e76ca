"""How far two runs of one model may part by rounding alone. Pure: no recording is read here.

Rounding errors are taken as independent with mean zero. Then N of them add up to at most
`lambda * sqrt(N) * u` but for a probability of `2 exp(-lambda ** 2 / 2)`, and not to the worst case
`N * u` (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci.
Comput. 41(5), 2019; the worst case: Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.1). `u` is the unit roundoff of the number format.

Each layer is taken to add three roundings in the format of its numbers (its weights, its inputs,
its result) and those of one inner product, which hardware accumulates in float32 or better. A
recording does not tell how long inner products are, nor how a layer magnifies what came before:
1,024 terms and no magnification are taken. Layers follow on each other, so that at depth d the
squares of d + 1 layers add up.
"""

from math import sqrt

from actscope.comparing.precision import FORMATS
from actscope.errors import ActscopeError, nearest

DEVIATIONS = 4.0
"""The lambda above: each rounding fails with a probability below 0.07 %, and as a rounding is
evenly spread within its bound u, whose deviation is u / sqrt(3), the sum of many far below that."""

ROUNDINGS_IN_FORMAT = 3
ROUNDINGS_ACCUMULATED = 1024

Tolerance = float | str | None


class ToleranceError(ActscopeError, ValueError):
    """A tolerance is neither a number from 0 nor the name of a number format."""


def checked(tolerance: Tolerance) -> Tolerance:
    """`tolerance`: None, a number from 0, or the name of the format that was computed in.

    Raises:
        ToleranceError: it is none of these.
    """
    if isinstance(tolerance, str) and tolerance not in FORMATS:
        tolerance = _number(tolerance)
    if isinstance(tolerance, int | float) and not 0 <= tolerance < float("inf"):
        raise ToleranceError(f"the tolerance must be a number from 0, got {tolerance!r}")
    return tolerance


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ToleranceError(
            f"no tolerance {text!r}: give a number such as 1e-3, or the format that was computed "
            f"in: {nearest(text, FORMATS)}"
        ) from error


def tolerance_at(depth: int, unit_roundoff: float, tolerance: Tolerance = None) -> float:
    """The largest difference that is put down to rounding, relative to the values.

    Args:
        depth: how many layers were computed before.
        unit_roundoff: of the coarsest format met so far, on either side.
        tolerance: what the user gave: a number holds for all layers; a format's name for the
            arithmetic, where that is coarser than the dtypes say (TensorFloat-32 on accelerators).
    """
    if isinstance(tolerance, int | float):
        return float(tolerance)
    if tolerance is not None:
        unit_roundoff = max(unit_roundoff, FORMATS[tolerance].unit_roundoff)
    accumulated = min(unit_roundoff, FORMATS["float32"].unit_roundoff)
    squares = ROUNDINGS_IN_FORMAT * unit_roundoff**2 + ROUNDINGS_ACCUMULATED * accumulated**2
    return DEVIATIONS * sqrt((depth + 1) * squares)
