"""Measures how two blocks of numbers differ, and adds up blocks. Pure: no recording is read here.

Each measurement of a block is plain data, and two of them are combined into that of both blocks:
a layer of any size is measured in the memory of one block.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.comparing.precision import NumberFormat, Values, last_place

Numbers = npt.NDArray[Any]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Squares:
    """Sums of the squares of both sides, and of their products, where both are finite."""

    elements: int = 0
    a: float = 0.0
    b: float = 0.0
    product: float = 0.0

    @property
    def scale(self) -> float:
        """The root mean square of the larger side; 0 where there is nothing."""
        return sqrt(max(self.a, self.b) / self.elements) if self.elements else 0.0

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between the sides, from -1 to 1; None where one has no length."""
        length = sqrt(self.a) * sqrt(self.b)
        if not 0 < length < float("inf"):
            return None
        return max(-1.0, min(1.0, self.product / length))

    def __add__(self, other: "Squares") -> "Squares":
        return Squares(
            self.elements + other.elements,
            self.a + other.a,
            self.b + other.b,
            self.product + other.product,
        )


@dataclass(frozen=True)
class Yardstick:
    """What differences are measured by.

    Attributes:
        scale: the least magnitude that a difference is set in relation to: the layer's own.
        tolerance: the largest relative difference that is not counted as beyond.
        number_format: whose last place is the unit of `ulps`; None for whole numbers.
    """

    scale: float
    tolerance: float
    number_format: NumberFormat | None


@dataclass(frozen=True)
class Differences:
    """How far the elements of two tensors lie apart.

    Attributes:
        elements: how many were compared.
        beyond: how many lie further apart than the tolerance.
        unmatched: how many are NaN or infinite on one side and something else on the other.
        absolute: the largest absolute difference.
        relative: the largest difference relative to the larger of the two magnitudes.
        ulps: the largest difference in units in the last place.
        scaled: the largest difference relative to the larger magnitude or the layer's scale,
            whichever is larger; infinite where elements are unmatched.
        worst: the position of that element, counted through all of them; None where all are equal.
        squares: sum of the squares of the differences.
    """

    elements: int = 0
    beyond: int = 0
    unmatched: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    ulps: float = 0.0
    scaled: float = 0.0
    worst: int | None = None
    squares: float = 0.0

    @property
    def rms(self) -> float:
        """Root mean square of the differences between matched elements."""
        matched = self.elements - self.unmatched
        return sqrt(self.squares / matched) if matched else 0.0

    def __add__(self, other: "Differences") -> "Differences":
        later = None if other.worst is None else self.elements + other.worst
        return Differences(
            elements=self.elements + other.elements,
            beyond=self.beyond + other.beyond,
            unmatched=self.unmatched + other.unmatched,
            absolute=max(self.absolute, other.absolute),
            relative=max(self.relative, other.relative),
            ulps=max(self.ulps, other.ulps),
            scaled=max(self.scaled, other.scaled),
            worst=later if other.scaled > self.scaled else self.worst,
            squares=self.squares + other.squares,
        )


def squares_of(a: Numbers, b: Numbers) -> Squares:
    """The sums over two blocks of the same shape, in float64."""
    (a, b), finite = _both_finite(a, b)
    with np.errstate(over="ignore", invalid="ignore"):
        return Squares(int(finite.sum()), _dot(a, a), _dot(b, b), _dot(a, b))


def measure(a: Numbers, b: Numbers, yardstick: Yardstick) -> Differences:
    """Measure two blocks of the same shape, in float64.

    NaN beside NaN, and an infinity beside the same one, are equal.
    """
    if a.size == 0:
        return Differences()
    unmatched = _unmatched(a.ravel(), b.ravel())
    (a, b), _ = _both_finite(a, b)
    with np.errstate(over="ignore"):
        apart = np.abs(a - b)
        squares = _dot(apart, apart)
    magnitude = np.maximum(np.abs(a), np.abs(b))
    scaled = _ratio(apart, np.maximum(magnitude, yardstick.scale))
    scaled[unmatched] = np.inf
    worst = int(np.argmax(scaled))
    return Differences(
        elements=a.size,
        beyond=int(np.count_nonzero(scaled > yardstick.tolerance)),
        unmatched=int(np.count_nonzero(unmatched)),
        absolute=float(apart.max()),
        relative=float(_ratio(apart, magnitude).max()),
        ulps=float((apart / last_place(magnitude, yardstick.number_format)).max()),
        scaled=float(scaled[worst]),
        worst=worst if scaled[worst] > 0 else None,
        squares=squares,
    )


def _dot(first: Values, second: Values) -> float:
    # Not by BLAS, whose threads get in each other's way where other processes keep the cores busy.
    return float(np.einsum("i,i->", first, second))


def _both_finite(a: Numbers, b: Numbers) -> tuple[tuple[Values, Values], Marks]:
    """Both sides flat as float64, 0 where one of them is not finite, and where both are."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.all():
        a[~finite] = b[~finite] = 0
    return (a, b), finite


def _unmatched(a: Numbers, b: Numbers) -> Marks:
    """Where a side is not finite and the other is not the same."""
    finite = np.isfinite(a) & np.isfinite(b)
    return np.asarray(~(finite | (a == b) | (np.isnan(a) & np.isnan(b))))


def _ratio(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
