"""The published measures of representational similarity. Pure: no recording is read here.

All of them see a layer only through the products of its samples, the Gram matrix `X @ X.T` of its
activations `X` of shape `(N, features)`, which rotations of the features leave as it is. RSA also
needs the mean over the features, and so is kept only by those rotations that keep it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

VARIANCE_KEPT = 0.99
"""Share of the variance that SVCCA keeps of each layer, as in Raghu et al. 2017."""

_NO_VARIANCE = 1e-12


@dataclass(frozen=True)
class Products:
    """What is known of one layer's activations `X` of some samples.

    Attributes:
        gram: `X @ X.T`, shape `(N, N)`.
        sums: each sample's sum over the features, shape `(N,)`.
        features: how many features a sample has.
    """

    gram: Matrix
    sums: Matrix
    features: int

    def __add__(self, other: "Products") -> "Products":
        return Products(
            self.gram + other.gram, self.sums + other.sums, self.features + other.features
        )


def products(piece: npt.NDArray[Any], *, shifted: bool = False) -> Products:
    """The products of a piece of the features, shape `(N, ...)`; the pieces of a layer add up.

    `shifted` takes the first sample's activations from all: measures that center each feature over
    the samples are the same, but lose no digits to what all samples share.
    """
    flat = piece.reshape(len(piece), -1).astype(np.float64)
    if shifted:
        flat -= flat[0].copy()
    return Products(flat @ flat.T, flat.sum(axis=1), flat.shape[1])


def unbiased_hsic(first: Sequence[Matrix], second: Sequence[Matrix]) -> Matrix:
    """The unbiased HSIC of each pair of Gram matrices, shape `(len(first), len(second))`.

    Song et al., Feature Selection via Dependence Maximization, JMLR 13, 2012, equation 5: for K
    and L of n >= 4 samples, both with zeros on the diagonal, `(tr(K L) + sum(K) sum(L) /
    ((n - 1)(n - 2)) - 2 sum(K L) / (n - 2)) / (n (n - 3))`.
    """
    n = len(first[0])
    (flat, rows, totals), (others, other_rows, other_totals) = map(_hollow, (first, second))
    found = flat @ others.T + np.outer(totals, other_totals) / ((n - 1) * (n - 2))
    return np.asarray((found - 2 / (n - 2) * rows @ other_rows.T) / (n * (n - 3)))


def _hollow(grams: Sequence[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    """Gram matrices flat and without their diagonals, the sums of their rows, and their sums."""
    stacked = np.stack(grams)
    diagonal = np.arange(stacked.shape[1])
    stacked[:, diagonal, diagonal] = 0
    rows = stacked.sum(axis=2)
    return stacked.reshape(len(stacked), -1), rows, rows.sum(axis=1)


def cka(between: Matrix, within_a: Matrix, within_b: Matrix) -> Matrix:
    """Centered kernel alignment, from 0 to 1 but for noise; NaN where a layer does not vary.

    Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019. The terms
    are means over minibatches of the unbiased HSIC, so that no bias grows from small batches
    (Nguyen, Raghu and Kornblith, Do Wide and Deep Networks Learn the Same Things?, ICLR 2021,
    equation 3).

    Args:
        between: HSIC of each pair of layers, shape `(A, B)`.
        within_a: HSIC of each layer of the first model with itself, shape `(A,)`.
        within_b: the same for the second model, shape `(B,)`.
    """
    known = np.outer(within_a > 0, within_b > 0)
    lengths = np.sqrt(np.outer(np.abs(within_a), np.abs(within_b)))
    unknown = np.full_like(between, np.nan)
    return np.asarray(np.divide(between, lengths, out=unknown, where=known))


def dissimilarities(layer: Products) -> Matrix | None:
    """Ranks of the dissimilarities of all pairs of samples, centered and of length 1.

    A dissimilarity is 1 - Pearson's correlation of two samples' activations. None where a sample's
    activations are constant, or all dissimilarities are the same.
    """
    centered = layer.gram - np.outer(layer.sums, layer.sums) / max(layer.features, 1)
    lengths = np.sqrt(np.maximum(np.diag(centered), 0))
    if not np.all(lengths > _NO_VARIANCE * np.sqrt(np.diag(layer.gram))):
        return None
    above = np.triu_indices(len(centered), k=1)
    apart = (1 - centered / np.outer(lengths, lengths))[above]
    if not np.ptp(apart) > _NO_VARIANCE:
        return None
    ranks = _ranks(apart)
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))


def _ranks(values: Matrix) -> Matrix:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse])


def rsa(first: Matrix | None, second: Matrix | None) -> float:
    """Spearman's correlation of two layers' dissimilarities, from -1 to 1; NaN where one is None.

    Kriegeskorte, Mur and Bandettini, Representational Similarity Analysis, Frontiers in Systems
    Neuroscience 2:4, 2008.
    """
    return float("nan") if first is None or second is None else float(first @ second)


def directions(layer: Products) -> Matrix | None:
    """The directions among samples that hold `VARIANCE_KEPT` of a layer's variance.

    The left singular vectors of the activations, each feature centered over the samples, shape
    `(N, kept)`. None where nothing varies, or activations are not finite.
    """
    centered = layer.gram - layer.gram.mean(axis=0) - layer.gram.mean(axis=1)[:, np.newaxis]
    centered += layer.gram.mean()
    if not np.isfinite(centered).all():
        return None
    variances, vectors = np.linalg.eigh(centered)
    variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
    total = variances.sum()
    if total <= _NO_VARIANCE * np.trace(layer.gram):
        return None
    kept = int(np.searchsorted(np.cumsum(variances) / total, VARIANCE_KEPT)) + 1
    return vectors[:, :kept]


def svcca(first: Matrix | None, second: Matrix | None) -> float:
    """Mean canonical correlation of two layers' directions, from 0 to 1; NaN where one is None.

    Raghu et al., SVCCA: Singular Vector Canonical Correlation Analysis for Deep Learning Dynamics
    and Interpretability, NeurIPS 2017. The canonical correlations of orthonormal directions are
    the singular values of their products (Bjoerck and Golub, Mathematics of Computation 27, 1973).
    It needs several times more samples than directions to mean anything.
    """
    if first is None or second is None:
        return float("nan")
    return float(np.linalg.svd(first.T @ second, compute_uv=False).mean())
