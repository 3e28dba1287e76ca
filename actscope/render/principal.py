"""Finds the principal components of samples by a layer, in bounded memory. Pure: no drawing."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import channel_axis
from actscope.errors import RenderError, nearest

Floats = npt.NDArray[np.float64]

FEATURES = ("flatten", "mean")
"""What of a sample is compared: all of its values, or each channel's mean over its positions."""

_ELEMENTS_PER_PIECE = 2**22  # 32 MiB in double precision


@dataclass(frozen=True)
class Components:
    """Samples in the directions in which they differ most.

    Attributes:
        scores: the coordinates of the samples around their mean, the direction of the largest
            variance first, `(n, components)`.
        shares: of the variance of all features, that of each component, from 0 to 1.
        kept: which of the rows these are: those where all is finite.
    """

    scores: Floats
    shares: Floats
    kept: npt.NDArray[np.intp]


def features_of(
    layer: Any, rows: npt.NDArray[np.intp], axes: tuple[str, ...], features: str
) -> Iterator[Floats]:
    """Some rows of a layer, `(n, F)`, in pieces of a few features, `(n, f)` float64.

    Args:
        layer: a recorded tensor or an array, the samples first.
        rows: which samples.
        axes: the names of a sample's axes.
        features: one of `FEATURES`.

    Raises:
        RenderError: there is no such choice.
    """
    if features not in FEATURES:
        raise RenderError(f"no features {features!r}: {nearest(str(features), FEATURES)}")
    channel = channel_axis(axes)
    if features == "mean" and channel is not None:
        yield _means(layer, rows, channel + 1)
        return
    if not axes:
        yield np.asarray(layer[rows], np.float64)[:, np.newaxis]
        return
    step = max(1, _ELEMENTS_PER_PIECE // max(1, len(rows) * prod(layer.shape[2:])))
    for start in range(0, layer.shape[1], step):
        piece = np.asarray(layer[rows, start : start + step], np.float64)
        yield piece.reshape(len(rows), prod(piece.shape[1:]))


def _means(layer: Any, rows: npt.NDArray[np.intp], channel: int) -> Floats:
    """The mean of each channel over the positions, `(n, C)`."""
    step = max(1, _ELEMENTS_PER_PIECE // max(1, prod(layer.shape[1:])))
    others = tuple(axis for axis in range(1, len(layer.shape)) if axis != channel)
    found = [
        np.asarray(layer[rows[start : start + step]], np.float64).mean(axis=others)
        for start in range(0, max(1, len(rows)), step)
    ]
    return np.concatenate(found)


def principal_components(pieces: Iterator[Floats], samples: int, most: int) -> Components:
    """The principal components of `(n, F)` in pieces of `(n, f)`, exact but for rounding.

    They are the eigenvectors of the `(n, n)` matrix of scalar products of the samples around their
    mean, times the roots of the eigenvalues; so that memory does not grow with `F`. The sign is
    such that the score farthest from 0 is positive. Samples with NaN or infinities are left out.

    Args:
        pieces: the features.
        samples: `n`.
        most: how many components to give; there are never more than samples.

    Raises:
        RenderError: under 3 samples are finite, or all of them are equal.
    """
    products = _products(pieces, samples)
    kept = np.flatnonzero(np.isfinite(np.diag(products)))
    if len(kept) < 3:
        raise RenderError(
            f"a map needs at least 3 samples without NaN and infinities, there are {len(kept)}"
        )
    products = products[np.ix_(kept, kept)]
    products -= products.mean(axis=0)
    products -= products.mean(axis=1, keepdims=True)
    total = float(np.trace(products))
    values, vectors = np.linalg.eigh(products)
    largest = np.clip(values[::-1][:most], 0, None)
    if not total > 0 or largest[0] <= 0:
        raise RenderError("all samples are equal by this layer: there is nothing to map")
    scores = vectors[:, ::-1][:, :most] * np.sqrt(largest)
    farthest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[np.newaxis], axis=0)
    return Components(scores * np.where(farthest < 0, -1, 1), largest / total, kept)


def _products(pieces: Iterator[Floats], samples: int) -> Floats:
    """The scalar products of all pairs of samples; around means, so that no digits are lost."""
    products: Floats = np.zeros((samples, samples))
    with np.errstate(invalid="ignore", over="ignore"):
        for piece in pieces:
            finite = np.isfinite(piece)
            count = np.maximum(finite.sum(axis=0), 1)
            centred = piece - np.where(finite, piece, 0).sum(axis=0) / count
            products += centred @ centred.T
    return products
