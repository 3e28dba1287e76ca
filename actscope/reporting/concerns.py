"""Says what is suspicious about a layer's values: what a person should look at first. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actscope.histogram import EDGES
from actscope.render.words import counted
from actscope.statistics import Statistics

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


def concerns_of(statistics: Statistics, noun: str, *, gradient: bool = False) -> list[Concern]:
    """What is suspicious about the channels of a tensor over all samples, the worst first.

    Gradients may well be zero, as behind the logit that they are of: only what is not finite is
    suspicious there.

    Args:
        statistics: of the tensor.
        noun: what a channel is called.
        gradient: whether the values are gradients.
    """
    found = _not_finite(statistics, noun)
    return found if gradient else [*found, *_constant(statistics, noun), *_saturated(statistics)]


def _not_finite(statistics: Statistics, noun: str) -> list[Concern]:
    lost = statistics.not_finite > 0
    if not lost.any():
        return []
    values = counted(int(statistics.not_finite.sum()), "value")
    channels = f"{counted(int(lost.sum()), noun)} of {len(lost)}: {_numbers(lost)}"
    return [Concern("not-finite", f"{values} NaN or infinite, in {channels}")]


def _constant(statistics: Statistics, noun: str) -> list[Concern]:
    """Channels that are always zero, and those that always have one other value."""
    several = statistics.count > 1
    zero = several & (statistics.zeros == statistics.count)
    equal = several & ~zero & (statistics.minimum == statistics.maximum)
    every = counted(len(several), noun)
    cases = (("dead", zero, "zero (dead)"), ("constant", equal, "the same value"))
    return [
        Concern(kind, f"{int(marked.sum())} of {every} always {words}: {_numbers(marked)}")
        for kind, marked, words in cases
        if marked.any()
    ]


def _saturated(statistics: Statistics) -> list[Concern]:
    share = share_at_bounds(statistics)
    if share <= _SATURATED:
        return []
    words = f"{share:.0%} of the values are beyond ±0.75, none beyond ±1: saturated"
    return [Concern("saturated", words)]


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


def _numbers(marked: npt.NDArray[np.bool_]) -> str:
    """The channels' numbers, the first few of many."""
    numbers = np.flatnonzero(marked)
    listed = ", ".join(map(str, numbers[:_MOST_NAMED]))
    return listed + (", …" if len(numbers) > _MOST_NAMED else "")
