"""Says what is suspicious about a layer's values: what a person should look at first. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actscope.render.words import counted
from actscope.statistics import EDGES, Statistics

_MOST_NAMED = 12
_BOUND = 1.0
_NEAR_BOUND = 0.75  # an edge of the histogram, the last one before 1
_SATURATED = 0.5


@dataclass(frozen=True)
class Concern:
    """One thing that is suspicious.

    Attributes:
        kind: `"not-finite"`, `"dead"`, `"constant"` or `"saturated"`.
        words: what it is, in one sentence.
    """

    kind: str
    words: str


def concerns_of(statistics: Statistics, noun: str) -> list[Concern]:
    """What is suspicious about the channels of a tensor over all samples, the worst first.

    Args:
        statistics: of the tensor.
        noun: what a channel is called.
    """
    channels = len(statistics.count)
    several = statistics.count > 1
    zero = several & (statistics.zeros == statistics.count)
    equal = several & ~zero & (statistics.minimum == statistics.maximum)
    lost = statistics.not_finite > 0
    found = []
    if lost.any():
        values = counted(int(statistics.not_finite.sum()), "value")
        words = f"{values} NaN or infinite, in {_which(lost, noun)}"
        found.append(Concern("not-finite", words))
    if zero.any():
        words = f"{int(zero.sum())} of {counted(channels, noun)} always zero (dead)"
        found.append(Concern("dead", f"{words}: {_numbers(zero)}"))
    if equal.any():
        words = f"{int(equal.sum())} of {counted(channels, noun)} always the same value"
        found.append(Concern("constant", f"{words}: {_numbers(equal)}"))
    share = share_at_bounds(statistics)
    if share > _SATURATED:
        words = f"{share:.0%} of the values are beyond ±0.75, none beyond ±1: saturated"
        found.append(Concern("saturated", words))
    return found


def share_at_bounds(statistics: Statistics) -> float:
    """Which share of values between -1 and 1 is at least 0.75 in magnitude; 0 for other values.

    Only what comes near both bounds is meant, such as the output of tanh or softsign.
    """
    low = np.nanmin(statistics.minimum, initial=np.inf)
    high = np.nanmax(statistics.maximum, initial=-np.inf)
    if not (-_BOUND <= low < -_NEAR_BOUND and _NEAR_BOUND < high <= _BOUND):
        return 0.0
    least = np.minimum(np.abs(EDGES[:-1]), np.abs(EDGES[1:]))
    beyond = statistics.histogram[least >= _NEAR_BOUND].sum()
    return float(beyond / max(1, statistics.histogram.sum()))


def _which(marked: npt.NDArray[np.bool_], noun: str) -> str:
    return f"{counted(int(marked.sum()), noun)} of {len(marked)}: {_numbers(marked)}"


def _numbers(marked: npt.NDArray[np.bool_]) -> str:
    """The channels' numbers, the first few of many."""
    numbers = np.flatnonzero(marked)
    listed = ", ".join(map(str, numbers[:_MOST_NAMED]))
    return listed + (", …" if len(numbers) > _MOST_NAMED else "")
