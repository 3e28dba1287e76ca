"""Measures how alike two recorded models represent the same samples, for each pair of layers."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from actscope.comparing import kernels
from actscope.comparing.kernels import Matrix, Products
from actscope.comparing.precision import NOT_COMPARED
from actscope.comparing.result import Similarity
from actscope.comparing.samples import Positions, SharedSamples, rows_of
from actscope.errors import DataError, nearest
from actscope.store.reader import RecordedLayer, Recording

METHODS = ("cka", "rsa", "svcca")

BATCH = 128
"""Samples per minibatch of CKA, at most."""

MOST_SAMPLES = 512
"""RSA and SVCCA look at all pairs of samples: of more, this many evenly spread are taken."""

_FEWEST_SAMPLES = 4
_ELEMENTS_PER_PIECE = 2**20


def checked_method(method: str) -> str:
    """`method`.

    Raises:
        DataError: there is no such method.
    """
    if method not in METHODS:
        raise DataError(f"no similarity {method!r}: {nearest(str(method), METHODS)}")
    return method


def similarity_of(a: Recording, b: Recording, samples: SharedSamples, method: str) -> Similarity:
    """The similarity of each pair of layers, gradients left out.

    CKA takes all samples, in minibatches that are spread over the whole so that an order by class
    does no harm. Memory holds one matrix of pairs of samples for each layer.

    Raises:
        DataError: there are fewer than 4 samples.
    """
    if len(samples) < _FEWEST_SAMPLES:
        raise DataError(
            f"{len(samples)} samples are too few for a similarity: at least {_FEWEST_SAMPLES}"
        )
    first, second = _layers(a), _layers(b)
    if method == "cka":
        used, values = len(samples), _cka(first, second, samples)
    else:
        used = min(len(samples), MOST_SAMPLES)
        values = _from_all_pairs(first, second, samples, method)
    return Similarity(
        method,
        used,
        tuple(layer.name for layer in first),
        tuple(layer.name for layer in second),
        values,
    )


def _layers(recording: Recording) -> list[RecordedLayer]:
    found = [output for path in recording for output in recording.outputs(path)]
    usable = [layer for layer in found if layer.logical_dtype not in NOT_COMPARED]
    return sorted(usable, key=lambda layer: layer.order)


def _cka(
    first: Sequence[RecordedLayer], second: Sequence[RecordedLayer], samples: SharedSamples
) -> Matrix:
    batches = -(-len(samples) // BATCH)
    between = np.zeros((len(first), len(second)))
    within_a, within_b = np.zeros(len(first)), np.zeros(len(second))
    for batch in range(batches):
        rows_a, rows_b = samples.a[batch::batches], samples.b[batch::batches]
        grams_a = [_products(layer, rows_a, shifted=True).gram for layer in first]
        grams_b = [_products(layer, rows_b, shifted=True).gram for layer in second]
        between += kernels.unbiased_hsic(grams_a, grams_b)
        within_a += _own_hsic(grams_a)
        within_b += _own_hsic(grams_b)
    return kernels.cka(between, within_a, within_b)


def _own_hsic(grams: Sequence[Matrix]) -> Matrix:
    return np.array([kernels.unbiased_hsic([gram], [gram])[0, 0] for gram in grams])


def _from_all_pairs(
    first: Sequence[RecordedLayer],
    second: Sequence[RecordedLayer],
    samples: SharedSamples,
    method: str,
) -> Matrix:
    seen: Callable[[Products], Matrix | None] = kernels.dissimilarities
    alike = kernels.rsa
    if method == "svcca":
        seen, alike = kernels.directions, kernels.svcca
    step = -(-len(samples) // MOST_SAMPLES)
    shifted = method == "svcca"
    rows = [seen(_products(layer, samples.a[::step], shifted=shifted)) for layer in first]
    columns = [seen(_products(layer, samples.b[::step], shifted=shifted)) for layer in second]
    return np.array([[alike(row, column) for column in columns] for row in rows])


def _products(layer: RecordedLayer, positions: Positions, *, shifted: bool) -> Products:
    """The products of some samples, read a piece of the features at a time."""
    if layer.ndim == 1:
        return kernels.products(rows_of(layer, positions), shifted=shifted)
    per_index = len(positions) * max(1, prod(layer.shape[2:]))
    step = max(1, _ELEMENTS_PER_PIECE // per_index)
    pieces: list[Any] = [slice(start, start + step) for start in range(0, layer.shape[1], step)]
    found = Products(np.zeros((len(positions),) * 2), np.zeros(len(positions)), 0)
    for piece in pieces:
        found += kernels.products(rows_of(layer, positions, piece), shifted=shifted)
    return found
