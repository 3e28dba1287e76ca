"""Says what is suspicious about a layer's values: what a person should look at first. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actscope.plurals import counted
from actscope.render.summary import summed_up
from actscope.statistics import Statistics

_MOST_NAMED = 12
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
    """Values near bounds on both sides of zero: those from 0 to 1 may be meant to be there."""
    whole = summed_up(statistics)
    if not (whole.minimum < 0 and whole.saturation > _SATURATED):
        return []
    left = f"{1 - whole.saturation:.0%} of the steepest slope is left on average"
    return [Concern("saturated", f"saturation {whole.saturation:.0%}, as of tanh: {left}")]


def _numbers(marked: npt.NDArray[np.bool_]) -> str:
    """The channels' numbers, the first few of many."""
    numbers = np.flatnonzero(marked)
    listed = ", ".join(map(str, numbers[:_MOST_NAMED]))
    return listed + (", …" if len(numbers) > _MOST_NAMED else "")
