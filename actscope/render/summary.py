"""Sums the statistics of a layer's channels up for pictures of whole layers. Pure: no drawing."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from actscope.axes import channels_last
from actscope.errors import RenderError
from actscope.histogram import EDGES, ZERO_BIN
from actscope.render.subject import Layer, Named, as_numbers
from actscope.statistics import RunningStatistics, Statistics, statistics_of
from actscope.store.reader import RecordedLayer, RecordedTensor, Recording

Floats = npt.NDArray[np.float64]

_FEW_ZEROS = 0.01
_SUM_OF_PROBABILITIES = 0.01
_CLEARLY_BOUNDED = 0.5
_NEAR_ZERO_SHARE = 0.01


@dataclass(frozen=True)
class Summary:
    """What the values of one tensor are like, all channels together.

    Attributes:
        name: the layer's name; empty for an array.
        class_name: the layer's class, or empty.
        channels: how many there are.
        samples: how many there are.
        mean: of all finite values; NaN where there is none, as are all that follow but counts.
        spread: their standard deviation, that of the population.
        minimum: the least finite value.
        maximum: the greatest.
        zeros: the share of exact zeros, of 0 to 1.
        dead: the share of channels with one and the same value everywhere; NaN where every channel
            has only one value.
        saturation: how near to their bounds bounded values are, see `saturation`, or NaN.
        not_finite: how many values are NaN or infinite.
        histogram: of the finite values that are not zero, between the `EDGES`, `(BINS,)` int64.
    """

    name: str
    class_name: str
    channels: int
    samples: int
    mean: float
    spread: float
    minimum: float
    maximum: float
    zeros: float
    dead: float
    saturation: float
    not_finite: int
    histogram: npt.NDArray[np.int64]


def summaries_of(recording: Recording) -> list[Summary]:
    """Of all that was recorded, in the order of execution.

    Raises:
        RenderError: the recording has no layers.
    """
    found = [summary_of(output) for path in recording for output in recording.outputs(path)]
    if not found:
        raise RenderError(f"{recording.path.name} has no layers: there is nothing to draw")
    return found


def summary_of(layer: Layer) -> Summary:
    """Of a recorded tensor, or of an array with the samples first and the channels last.

    Raises:
        RenderError: an array holds no real numbers, or is a single one.
    """
    if isinstance(layer, RecordedLayer):
        found = summed_up(layer.statistics)
        return replace(found, name=layer.name, class_name=layer.class_name)
    if isinstance(layer, RecordedTensor):
        return replace(summed_up(statistics_of(layer)), name=layer.name)
    named = layer if isinstance(layer, Named) else Named(np.asarray(layer), "")
    array = as_numbers(named.values, named.name)
    if array.ndim == 0:
        raise RenderError("a single number was given: give an array with the samples along axis 0")
    axes = channels_last(array.ndim - 1)
    running = RunningStatistics(array.shape[1:], len(axes) - 1 if axes else None, top=0)
    running.update(array, 0)
    return replace(summed_up(running.result()), name=named.name)


def summed_up(found: Statistics) -> Summary:
    """The statistics of all channels as those of the whole."""
    total, zeros = int(found.count.sum()), int(found.zeros.sum())
    mean, variance = _moments(found)
    histogram = found.histogram.copy()
    histogram[ZERO_BIN] -= zeros
    varied = found.count > 1
    dead = varied & (found.minimum == found.maximum)
    return Summary(
        name="",
        class_name="",
        channels=len(found.count),
        samples=found.samples,
        mean=mean,
        spread=variance**0.5,
        minimum=_least(found.minimum),
        maximum=-_least(-found.maximum),
        zeros=zeros / total if total else np.nan,
        dead=float(dead.sum() / varied.sum()) if varied.any() else np.nan,
        saturation=saturation(found),
        not_finite=int(found.not_finite.sum()),
        histogram=histogram,
    )


def _least(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.min()) if known.size else np.nan


def _moments(found: Statistics) -> tuple[float, float]:
    """Mean and variance of all finite values: the law of total variance over the channels."""
    known = found.count > 0
    if not known.any():
        return np.nan, np.nan
    weights = found.count[known] / found.count.sum()
    with np.errstate(over="ignore", invalid="ignore"):  # float64 near its limits
        mean = float(weights @ found.mean[known])
        around = found.variance[known] + np.square(found.mean[known] - mean)
        return mean, float(weights @ around)


def saturation(found: Statistics) -> float:
    """How near to their bounds the values of a bounded layer are, from 0 to 1; NaN for others.

    For values between -1 and 1, as of tanh, it is `E[x^2]`, for those between 0 and 1, as of the
    logistic sigmoid, `4 E[(x - 1/2)^2]`: the mean square distance from the middle, as a share of
    that of the bounds. Since the slopes of these functions are `1 - x^2` and `x (1 - x)`, it is 1
    less the mean slope as a share of the steepest, so that a layer at 1 passes no gradient on. For
    probabilities over `C` channels, as of softmax, it is `(E[sum p^2] - 1/C) / (1 - 1/C)`: 0 where
    all are equal, and 1 where one has it all.

    A layer is taken as bounded by its values alone: they must keep within the bounds and go
    beyond half of them; those from 0 to 1 must not be zero in more than 1 %, as of ReLU.
    """
    low, high = _least(found.minimum), -_least(-found.maximum)
    if not (low >= -1 and high <= 1 and high > _CLEARLY_BOUNDED):
        return np.nan
    channels = len(found.count)
    if low >= 0 and channels > 1 and abs(found.mean.sum() - 1) < _SUM_OF_PROBABILITIES:
        concentration = float((found.variance + np.square(found.mean)).sum())
        return (concentration - 1 / channels) / (1 - 1 / channels)
    mean, variance = _moments(found)
    if low < -_CLEARLY_BOUNDED:
        return variance + mean**2
    few_zeros = found.zeros.sum() <= _FEW_ZEROS * found.count.sum()
    return 4 * (variance + (mean - 0.5) ** 2) if low >= 0 and few_zeros else np.nan


def densities(summary: Summary) -> Floats:
    """The share of the finite values in each bin by the octaves that the bin is wide, `(BINS,)`.

    The middle bin and the outer ones have no width in octaves: the share itself is given for them.
    """
    finite_edges = np.abs(EDGES[1:-1])
    widths = np.ones(len(EDGES) - 1)
    widths[1:-1] = np.abs(np.log2(finite_edges[1:] / finite_edges[:-1]))
    widths[ZERO_BIN] = 1
    total = summary.histogram.sum()
    shares = summary.histogram / total * (1 - summary.zeros) if total else summary.histogram * 0.0
    return np.asarray(shares / widths)


def occupied(summaries: list[Summary]) -> tuple[int, int, int]:
    """Which bins a picture has to show: the first, the last, and how far the middle one reaches.

    It reaches as far as it may without hiding 1 % of any layer's values that are not zero.

    Returns:
        The first bin and the last, and the number of bins on either side that join the middle one.
    """
    held = np.sum([summary.histogram for summary in summaries], axis=0)
    filled = np.flatnonzero(held)
    if filled.size == 0:
        return ZERO_BIN - 1, ZERO_BIN + 1, 0
    joined = ZERO_BIN
    for summary in summaries:
        within = summary.histogram[ZERO_BIN:].astype(np.float64)
        within[1:] += summary.histogram[:ZERO_BIN][::-1]
        if within.sum():
            near = np.cumsum(within) <= _NEAR_ZERO_SHARE * within.sum()
            joined = min(joined, int(near.sum()) - 1)
    joined = max(0, min(joined, ZERO_BIN - 1))
    return int(filled[0]), int(filled[-1]), joined


def stairs(summaries: list[Summary]) -> tuple[Floats, Floats]:
    """The densities of each layer, cut to the bins that hold any, and the edges of these.

    The bins next to zero are one, as `occupied` says, whose density is NaN; it is left out where
    all values are on one side of zero. The outermost bins are taken as one octave wide.

    Returns:
        Densities `(layers, B)`, and the edges `(B + 1,)`, all finite.
    """
    first, last, joined = occupied(summaries)
    edges = EDGES.copy()
    edges[0], edges[-1] = 2 * edges[1], 2 * edges[-2]
    low, high = ZERO_BIN - joined, ZERO_BIN + joined
    below = list(range(first, min(low, last + 1)))
    above = list(range(max(high + 1, first), last + 1))
    shown = np.array([densities(summary) for summary in summaries])
    if below and above:
        shown[:, ZERO_BIN] = np.nan
        return shown[:, [*below, ZERO_BIN, *above]], edges[
            [*below, low, high + 1, *above[1:], last + 1]
        ]
    kept = below or above or [ZERO_BIN]
    return shown[:, kept], edges[[*kept, kept[-1] + 1]]
