"""What the values of a layer are like over all samples, found in one pass and bounded memory.

Moments, extremes, zeros, what is not finite, a histogram and the samples of the largest values,
most of them for each channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actscope import scan
from actscope.axes import channel_axis
from actscope.channelwise import (
    along_rows,
    computed_in,
    counted,
    less,
    of_channels,
    of_samples,
    pieces,
    sums_of_squares,
)
from actscope.errors import FormatError
from actscope.histogram import BINS, BinCounter

if TYPE_CHECKING:
    from actscope.store.reader import RecordedTensor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]

_CHANNELS_PER_PIECE = 2**12
_COPIED_AT_A_TIME = 2**19
"""Values that are copied before they are scanned, in whole samples."""
_FEWEST_NEIGHBOURS = 256
"""Where a channel has fewer values side by side, channels are put last: a copy costs less."""

_BYTES_PER_BLOCK = 2**24
_SINGLE_REACH = 1e15
"""Deviations between its inverse and this are squared in single precision, and do not vanish or
overflow there."""


@dataclass(frozen=True)
class Statistics:
    """Of one tensor over all samples; `C` is the number of channels, `K` that of top samples.

    Attributes:
        samples: how many samples there were.
        count: finite values of each channel, `(C,)` int64.
        mean: of the finite values of each channel, `(C,)` float64; NaN where there is none.
        variance: of the same, that of the population: divided by `count`.
        minimum: the least finite value of each channel, `(C,)` float64; NaN where there is none.
        maximum: the greatest one.
        zeros: exact zeros of each channel, `(C,)` int64.
        not_finite: NaN and infinities of each channel, `(C,)` int64.
        histogram: finite values of all channels between the `EDGES`, `(BINS,)` int64; values of
            more than single precision are rounded to it first.
        top_values: for each channel the largest of the samples' maxima over all positions, the
            largest first, `(K, C)` float64; NaN where there are fewer samples.
        top_samples: the positions of these samples, `(K, C)` int64, the earlier first where they
            are equal; -1 where there are fewer.
    """

    samples: int
    count: Integers
    mean: Floats
    variance: Floats
    minimum: Floats
    maximum: Floats
    zeros: Integers
    not_finite: Integers
    histogram: Integers
    top_values: Floats
    top_samples: Integers


class RunningStatistics:
    """Statistics of rows that come batch after batch.

    Moments are found piece by piece in two passes, and combined as by Chan, Golub and LeVeque
    (Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979), in double
    precision: mean and variance are exact to about 1e-12. Values that fit into single precision are
    taken in by compiled code where that was built (`actscope.scan`). Without it NumPy squares their
    deviations in single precision, and their variance is exact to about 1e-7. The memory taken is
    that of the result and of a piece of a batch.
    """

    def __init__(self, shape: Sequence[int], channel_axis: int | None, top: int = 9) -> None:
        """Nothing is known yet.

        Args:
            shape: of one sample.
            channel_axis: which axis of `shape` the channels are; None where the sample is one
                number, or all of its values are of one channel.
            top: how many samples of the largest values to keep for each channel.
        """
        axis = len(shape) if channel_axis is None else channel_axis
        around = (prod(shape[:axis]), prod(shape[axis + 1 :]))
        self.channels = 1 if channel_axis is None else int(shape[axis])
        self._sample_shape = (around[0], self.channels, around[1])
        self._floats = np.zeros((4 + top, self.channels), "<f8")
        self._integers = np.zeros((3 + top, self.channels), "<i8")
        self._totals = np.zeros(1 + BINS, "<i8")
        self._mean, self._squares, self._minimum, self._maximum = self._floats[:4]
        self._count, self._zeros, self._not_finite = self._integers[:3]
        self._top_values, self._top_samples = self._floats[4:], self._integers[3:]
        self._minimum.fill(np.inf)
        self._maximum.fill(-np.inf)
        self._top_values.fill(-np.inf)
        self._top_samples.fill(-1)

    def update(self, rows: Rows, first: int) -> None:
        """Take in rows of `(n, *shape)`, real numbers of any dtype, NaN and infinities included.

        Args:
            rows: the next samples, those of bfloat16 as an array of `ml_dtypes` or widened.
            first: the position of the first row; positions must not go back.
        """
        samples = rows.reshape(len(rows), *self._sample_shape)
        self._totals[0] += len(rows)
        if samples.size == 0:
            return
        if computed_in(rows.dtype) is np.float32 and scan.is_compiled():
            self._scan(samples, first)
        else:
            self._keep_top(self._add_pieces(samples), first)

    def _scan(self, samples: Rows, first: int) -> None:
        """Take in `(n, positions, C, inner)` with compiled code."""
        rows, _, channels, inner = samples.shape
        few = 1 < inner < _FEWEST_NEIGHBOURS
        if few:
            samples = samples.swapaxes(2, 3)
        flags = samples.flags
        step = rows
        if samples.dtype != np.float32 or not (flags.c_contiguous and flags.aligned):
            step = max(1, _COPIED_AT_A_TIME // (samples.size // rows))
        for start in range(0, rows, step):
            values = np.require(samples[start : start + step], np.float32, ["C", "A"])
            if few:
                values = values.reshape(len(values), -1, channels, 1)
            scan.take_in(values, first + start, self._floats, self._integers, self._totals[1:])

    def _add_pieces(self, samples: Rows) -> Rows:
        """The same with NumPy, but for the top samples; returns maxima, `(n, C)`."""
        rows, positions, channels, inner = samples.shape
        maxima = np.full((rows, channels), -np.inf, computed_in(samples.dtype))
        counter = BinCounter(samples.size)
        step = min(channels, _CHANNELS_PER_PIECE)
        for start in range(0, channels, step):
            part = slice(start, start + step)
            for held, along in pieces(rows, positions, step * inner):
                highest = self._add(samples[held, along, part], part, counter)
                np.maximum(maxima[held, part], highest, out=maxima[held, part])
        self._totals[1:] += counter.counts()
        return maxima

    def _add(self, piece: Rows, channels: slice, counter: BinCounter) -> Floats:
        """Take in `(n, positions, C, inner)`; returns the finite maxima of samples, `(n, C)`."""
        values = np.ascontiguousarray(piece, computed_in(piece.dtype))
        lowest, highest = of_channels(np.minimum, values), of_samples(np.maximum, values)
        finite = None
        if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
            finite = np.isfinite(values)
            lowest = of_channels(np.minimum, np.where(finite, values, np.inf))
            highest = of_samples(np.maximum, np.where(finite, values, -np.inf))
        counter.add(values if finite is None else values[finite], signed=bool((lowest < 0).any()))
        highest_of_all = along_rows(np.maximum, highest)
        if ((lowest <= 0) & (highest_of_all >= 0)).any():
            self._zeros[channels] += counted(values == 0)
        if finite is not None:
            self._add_some(values, finite, channels)
        else:
            self._add_all(values, (lowest, highest_of_all), channels)
        minimum, maximum = self._minimum[channels], self._maximum[channels]
        np.minimum(minimum, lowest, out=minimum)
        np.maximum(maximum, highest_of_all, out=maximum)
        return highest

    def _add_all(self, values: Rows, extremes: tuple[Floats, Floats], channels: slice) -> None:
        """The moments of values all of which are finite, between their extremes, `(C,)` each."""
        count = values.size // values.shape[2]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = of_channels(np.add, values, np.float64) / count
            spread = np.subtract(extremes[1], extremes[0], dtype=np.float64)
            fits = (spread == 0) | ((spread > 1 / _SINGLE_REACH) & (spread < _SINGLE_REACH))
            dtype = np.float32 if values.dtype == np.float32 and fits.all() else np.float64
            center = mean.astype(dtype)
            apart = less(values, center)
            np.multiply(apart, apart, out=apart)
            beside = mean - center
            squares = np.maximum(sums_of_squares(apart) - count * beside * beside, 0)
            self._combine(channels, np.full(len(mean), count), mean, squares)

    def _add_some(self, values: Rows, finite: npt.NDArray[np.bool_], channels: slice) -> None:
        """The moments of values some of which are not finite."""
        count = counted(finite)
        wide = np.where(finite, values, np.float64(0))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = of_channels(np.add, wide) / np.maximum(count, 1)
            wide -= mean[:, np.newaxis]
            wide *= wide
            wide *= finite
            self._combine(channels, count, mean, of_channels(np.add, wide))
        self._not_finite[channels] += values.size // values.shape[2] - count

    def _combine(self, channels: slice, count: Integers, mean: Floats, squares: Floats) -> None:
        before = self._count[channels]
        together = np.maximum(before + count, 1)
        apart = mean - self._mean[channels]
        self._mean[channels] += apart * (count / together)
        self._squares[channels] += squares + apart * apart * (before * (count / together))
        self._count[channels] += count

    def _keep_top(self, maxima: Floats, first: int) -> None:
        """Let samples in whose maxima, `(n, C)`, are above the least that is kept."""
        kept = len(self._top_values)
        start, step = 0, max(kept, 1, int(self._totals[0]) - len(maxima))
        while kept and start < len(maxima):
            self._let_in(maxima[start : start + step], first + start)
            start, step = start + step, step * 2  # the more came before, the fewer come in

    def _let_in(self, maxima: Floats, first: int) -> None:
        least = self._top_values[-1].astype(maxima.dtype)
        rows, channels = np.divmod(np.flatnonzero(maxima > least), self.channels)
        if len(rows) == 0:
            return
        channels, rows = np.divmod(np.sort(channels * len(maxima) + rows), len(maxima))
        kept = len(self._top_values)
        every = np.bincount(channels)
        touched = np.flatnonzero(every)
        counts = every[touched]
        line = np.repeat(np.arange(len(touched)), counts)
        place = kept + np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        values = np.full((len(touched), kept + int(counts.max())), -np.inf)
        samples = np.full(values.shape, -1)
        values[:, :kept] = self._top_values[:, touched].T
        samples[:, :kept] = self._top_samples[:, touched].T
        values[line, place] = maxima[rows, channels]
        samples[line, place] = first + rows
        best = np.argsort(-values, axis=1, kind="stable")[:, :kept]
        self._top_values[:, touched] = np.take_along_axis(values, best, axis=1).T
        self._top_samples[:, touched] = np.take_along_axis(samples, best, axis=1).T

    def result(self) -> Statistics:
        """The statistics of all rows so far."""
        known = self._count > 0
        unknown_top = self._top_samples < 0
        return Statistics(
            samples=int(self._totals[0]),
            count=self._count.copy(),
            mean=np.where(known, self._mean, np.nan),
            variance=np.where(known, self._squares / np.maximum(self._count, 1), np.nan),
            minimum=np.where(known, self._minimum + 0.0, np.nan),  # no zero has a sign
            maximum=np.where(known, self._maximum + 0.0, np.nan),
            zeros=self._zeros.copy(),
            not_finite=self._not_finite.copy(),
            histogram=self._totals[1:].copy(),
            top_values=np.where(unknown_top, np.nan, self._top_values + 0.0),
            top_samples=self._top_samples.copy(),
        )

    @property
    def nbytes(self) -> int:
        """How many bytes `dump` gives."""
        return sum(part.nbytes for part in self._state)

    def dump(self) -> bytes:
        """All that is known, as little-endian float64 and int64, for `restore`."""
        return b"".join(part.tobytes() for part in self._state)

    def restore(self, state: bytes) -> None:
        """Go on from what `dump` gave for the same shape and number of top samples.

        Raises:
            FormatError: `state` is not of the length that it has here.
        """
        if len(state) != self.nbytes:
            raise FormatError(
                f"the kept statistics have {len(state):,} bytes where {self.channels:,} channels "
                f"take {self.nbytes:,}: they are of another layer, compute them anew"
            )
        start = 0
        for part in self._state:
            part[...] = np.frombuffer(state, part.dtype, part.size, start).reshape(part.shape)
            start += part.nbytes

    @property
    def _state(self) -> tuple[Rows, ...]:
        return self._floats, self._integers, self._totals


def statistics_of(layer: "RecordedTensor", top: int = 9) -> Statistics:
    """The statistics of a recorded layer, read in blocks of about 16 MB.

    The channels are the axis called channel, head or feature, else the last one; where a sample is
    one number there is one channel.

    Args:
        layer: a layer of an open recording, or one of its inputs.
        top: how many samples of the largest values to keep for each channel.
    """
    running = RunningStatistics(layer.shape[1:], channel_axis(layer.dims[1:]), top)
    step = max(1, _BYTES_PER_BLOCK // max(1, prod(layer.shape[1:]) * layer.dtype.itemsize))
    for start in range(0, len(layer), step):
        running.update(layer.unmapped()[start : start + step], start)
    return running.result()
