"""A seeded random projection of features, the same on every backend and every machine.

Every feature goes with a random sign to one place in each of four sketches, whose sum is scaled by
1/2: distances and inner products keep their expected values. (Kane and Nelson 2014, "Sparser
Johnson-Lindenstrauss Transforms", JACM 61.) A sketch is a random order of the features, folded, so
that it takes memory in proportion to the features alone.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from actscope.protocol import Array

SKETCHES = 4
"""Non-zero entries in each column of the projection."""


def project(namespace: Any, features: Any, size: int, seed: int) -> Any:
    """Features `(N, F)` as `(N, size)`, of the same dtype.

    Args:
        namespace: NumPy's names for arrays of the kind of `features`, and `cast(array, dtype)`.
        features: floating-point values.
        size: how many numbers come out per sample.
        seed: chooses the projection.
    """
    samples, count = features.shape
    padding = -count % size
    total: Any = 0.0
    for order, signs in sketches(count, seed):
        shuffled = namespace.take(features, order, axis=1) * namespace.cast(signs, "float32")
        padded = namespace.pad(shuffled, ((0, 0), (0, padding)))
        folded = namespace.reshape(padded, (samples, (count + padding) // size, size))
        total = total + namespace.sum(folded, axis=1)
    return total * (1 / SKETCHES**0.5)


@lru_cache(maxsize=8)
def sketches(features: int, seed: int) -> tuple[tuple[Array, Array], ...]:
    """For each sketch the order of the features and their signs, `(F,)` int32 and int8.

    From the raw numbers of Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
    3"), which stay the same for ever and everywhere, unlike NumPy's distributions.
    """
    made = []
    for number in range(SKETCHES):
        source = np.random.Philox(key=np.array([seed, number], np.uint64))
        order = np.argsort(source.random_raw(features), kind="stable").astype(np.int32)
        signs = (source.random_raw(features) >> np.uint64(63)).astype(np.int8) * 2 - 1
        made.append((order, signs))
    return tuple(made)
