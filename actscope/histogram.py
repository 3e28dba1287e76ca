"""Counts values between edges that stand two to an octave: exact, and at a nanosecond a value.

A module of its own, since it is about the bits of single precision and nothing else.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LOWEST_EXPONENT, _HIGHEST_EXPONENT = -24, 16


def _edges() -> Floats:
    octaves = 2.0 ** np.arange(_LOWEST_EXPONENT, _HIGHEST_EXPONENT)
    halves = (octaves[:, np.newaxis] * [1.0, 1.5]).ravel()
    positive = np.array([*halves, 2.0**_HIGHEST_EXPONENT, np.inf])
    return np.concatenate([-positive[::-1], positive])


EDGES: Floats = _edges()
"""The edges of the histogram, float64, two to an octave: `-inf, -65536, -49152, ..., -2**-24,
2**-24, 1.5 * 2**-24, ..., 65536, inf`. Each bin holds its lower edge and not its upper one, as in
`numpy.histogram`."""

BINS = len(EDGES) - 1
"""How many bins there are; the middle one holds zeros and what is next to them."""

ZERO_BIN = BINS // 2
"""The bin of zeros, `EDGES[ZERO_BIN]` to `EDGES[ZERO_BIN + 1]`."""

_SHIFT = 22  # leaves the sign, the eight bits of the exponent and the first of the mantissa
_SIGN = 31
_BELOW_FIRST = (_LOWEST_EXPONENT + 127) * 2 - 1
_NO_STEP, _LAST_STEP = np.int16(0), np.int16(ZERO_BIN)
_CODES_AT_A_TIME = 2**18
_ENCODED_AT_A_TIME = 2**15
_WORTH_PAIRING = 2**15


class BinCounter:
    """Counts values that come piece by piece.

    The top bits of a float32 are its sign, its exponent and half an octave, so that no value is
    compared with an edge. The bins of two neighbours are counted as one number of 16 bits: that is
    half the work.
    """

    def __init__(self, most: int) -> None:
        """Nothing is counted yet; `most` values will come at most."""
        self._codes = np.empty(min(most, _CODES_AT_A_TIME), np.uint8)
        self._filled = 0
        self._counts = np.zeros(BINS, np.int64)
        self._pairs = np.zeros(BINS << 8, np.int64)

    def add(self, values: npt.NDArray[Any], *, signed: bool = True) -> None:
        """Count values, none of them NaN or infinite; float64 is rounded to float32 first.

        Args:
            values: of any shape.
            signed: whether any is below zero.
        """
        with np.errstate(over="ignore"):
            bits = values.astype(np.float32, copy=False).reshape(-1).view(np.int32)
        start = 0
        while start < len(bits):
            room = self._codes[self._filled :]
            piece = bits[start : start + len(room)]
            _encode(piece, room[: len(piece)], signed=signed)
            start += len(piece)
            self._filled += len(piece)
            if self._filled == len(self._codes):
                self._count()

    def counts(self) -> Integers:
        """How many values were in each bin of `EDGES`, `(BINS,)` int64."""
        self._count()
        pairs = self._pairs.reshape(BINS, 256)
        counts: Integers = self._counts + pairs.sum(axis=1) + pairs.sum(axis=0)[:BINS]
        return counts

    def _count(self) -> None:
        codes = self._codes[: self._filled]
        paired = len(codes) // 2 * 2 if len(codes) >= _WORTH_PAIRING else 0
        if paired:
            self._pairs += np.bincount(codes[:paired].view(np.uint16), minlength=BINS << 8)
        self._counts += np.bincount(codes[paired:], minlength=BINS)
        self._filled = 0


def histogram_of(values: npt.NDArray[Any]) -> Integers:
    """How many of the values, none of them NaN or infinite, are in each bin of `EDGES`.

    Returns:
        Counts, `(BINS,)` int64, as `numpy.histogram(values.astype("float32"), EDGES)`.
    """
    counter = BinCounter(values.size)
    counter.add(values)
    return counter.counts()


def _encode(bits: npt.NDArray[np.int32], out: npt.NDArray[np.uint8], *, signed: bool) -> None:
    """The bin of each float32, given by its bits; a few at a time, which stay in the cache."""
    for start in range(0, len(bits), _ENCODED_AT_A_TIME):
        part = slice(start, start + _ENCODED_AT_A_TIME)
        np.copyto(out[part], (_signed_bins if signed else _bins)(bits[part]), casting="unsafe")


def _bins(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """The bins of numbers none of which is below zero."""
    steps = (bits >> _SHIFT).astype(np.int16)
    steps -= _BELOW_FIRST
    np.clip(steps, _NO_STEP, _LAST_STEP, out=steps)
    steps += ZERO_BIN
    return steps


def _signed_bins(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    sign = bits >> _SIGN
    magnitude = bits & np.int32(2**_SIGN - 1)
    magnitude += sign  # one bit towards zero: bins below zero hold the edge far from it
    bins = _bins(magnitude)
    narrow = sign.astype(np.int16)
    bins -= ZERO_BIN
    bins ^= narrow  # with the next line: negated where the sign is set
    bins -= narrow
    bins += ZERO_BIN
    return bins
