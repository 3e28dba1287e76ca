"""Decides which values the ends of a colour map stand for. Pure: no drawing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actscope.errors import RenderError, nearest
from actscope.render.subject import Values

KINDS = ("auto", "shared", "channel", "symmetric")

_CLEARLY_SIGNED = 0.1


@dataclass(frozen=True)
class Scale:
    """What a colour map stands for.

    Attributes:
        kind: `"shared"`, `"channel"` or `"symmetric"`.
        low: the value of the lowest colour.
        high: the value of the highest colour, above `low`.
    """

    kind: str
    low: float
    high: float

    @property
    def diverging(self) -> bool:
        """Whether the colours go two ways from zero."""
        return self.kind == "symmetric"


def scale_for(values: Values, kind: str | Scale = "auto") -> Scale:
    """The scale of `values`, taken from those that are finite.

    Args:
        values: of any shape.
        kind: `"shared"` is one range for all; `"channel"` is 0 to 1, for `share_of_range`;
            `"symmetric"` is around zero; `"auto"` is symmetric where the values reach on the
            shorter side of zero at least a tenth as far as on the other, else shared. A scale
            is taken as it is, so that several pictures share one.

    Raises:
        RenderError: there is no such kind.
    """
    if isinstance(kind, Scale):
        return kind
    if kind not in KINDS:
        raise RenderError(f"no scale {kind!r}: {nearest(str(kind), KINDS)}")
    if kind == "channel":
        return Scale(kind, 0.0, 1.0)
    low, high = finite_range(values)
    if kind == "auto":
        shorter, longer = sorted((max(0.0, -low), max(0.0, high)))
        kind = "symmetric" if shorter > _CLEARLY_SIGNED * longer else "shared"
    if kind == "symmetric":
        reach = max(-low, high, 0.0) or 1.0
        return Scale(kind, -reach, reach)
    return Scale(kind, low, high if high > low else low + (abs(low) or 1.0))


def finite_range(values: Values) -> tuple[float, float]:
    """The least and the greatest finite value; zeros where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def share_of_range(values: Values) -> Values:
    """Each channel of `(channels, slices, height, width)` from 0 to 1 over its own range.

    A constant channel becomes 0. What is not finite stays what it is and counts for nothing.
    """
    wide = values.astype(np.float64)
    finite, axes = np.isfinite(wide), (1, 2, 3)
    low = np.min(wide, axis=axes, keepdims=True, initial=np.inf, where=finite)
    high = np.max(wide, axis=axes, keepdims=True, initial=-np.inf, where=finite)
    span = np.where(high > low, high - low, 1.0)
    np.subtract(wide, low, out=wide, where=finite)
    np.divide(wide, span, out=wide, where=finite)
    return wide


def apart(a: Values, b: Values) -> Values:
    """`b - a` of two arrays of one shape, float64; NaN where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        return np.asarray(b.astype(np.float64) - a)


def not_finite(values: Values) -> npt.NDArray[np.bool_]:
    """Where NaN and infinities are."""
    return ~np.isfinite(values)
