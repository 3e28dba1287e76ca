"""Names the layer at which two runs part. Pure: no recording is read here."""

from collections.abc import Sequence

ROUNDING_SHARE = 0.5
"""A difference of less than this share of the tolerance is rounding, however it came about: float16
and bfloat16 take about that much of it from the first layer on, float32 a tenth."""


def jumps(strains: Sequence[float]) -> list[float]:
    """How many times larger each layer's strain is than the largest before it.

    Args:
        strains: each layer's largest difference as a multiple of its tolerance, in the order of
            execution. The tolerance already grows with depth, so that rounding that adds up as
            expected gives no jump; below `ROUNDING_SHARE` all strains count alike, so that the
            first rounding after bit-identical layers is none either.
    """
    before, found = ROUNDING_SHARE, []
    for strain in strains:
        found.append(strain / before if before < float("inf") else 1.0)
        before = max(before, strain)
    return found


def first_diverging(strains: Sequence[float]) -> int | None:
    """The position of the layer where the runs part; None where no strain is above 1.

    It is the layer with the largest jump among those up to the first beyond its tolerance. That
    first one alone would be the wrong one where a fault stays just within the tolerance and the
    next layers magnify it; the largest jump of all would be, where a second fault is larger.
    """
    beyond = next((position for position, strain in enumerate(strains) if strain > 1), None)
    if beyond is None:
        return None
    candidates = jumps(strains)[: beyond + 1]
    return candidates.index(max(candidates))
