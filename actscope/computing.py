"""What is done to an output between the layer and the host: reduce it, cast it, count overflows.

Written once against NumPy's names, so that every adapter does the same on its device.
"""

from typing import Any

from actscope.protocol import Wanted
from actscope.reduction import apply, parse


def compute(
    namespace: Any, wanted: Wanted, values: Any, mask: Any = None, *, at_hand: bool = False
) -> tuple[Any, Any | None]:
    """What is to be stored of a layer's output, or of its gradient.

    Args:
        namespace: NumPy's names for arrays of the kind of `values`, and `cast(array, dtype)`.
        wanted: what to make of the values.
        values: shape `(N, *wanted.source.shape)`.
        mask: the mask that the layer returned with the output, shape `(N, tokens)`, if any.
        at_hand: whether values can be read at once, without waiting for a device or a trace.

    Returns:
        The result, `(N, *wanted.stored.shape)` of the stored dtype, and where it may overflow how
        many finite values of each row became infinite, `(N,)` int32, else None.
    """
    result = apply(namespace, values, wanted.source, parse(wanted.stored.reduction), mask)
    if wanted.stored.dtype == wanted.source.dtype and wanted.stored.reduction == "none":
        return result, None
    cast = namespace.cast(result, wanted.stored.dtype)
    if not wanted.may_overflow:
        return cast, None
    if at_hand and _fits(namespace, result, wanted.stored.dtype):
        return cast, namespace.zeros(result.shape[:1], "int32")
    overflowed = namespace.not_equal(namespace.isinf(cast), namespace.isinf(result))
    inner = tuple(range(1, len(wanted.stored.shape) + 1))
    counts = namespace.cast(overflowed, "int32")
    return cast, namespace.sum(counts, axis=inner) if inner else counts


def _fits(namespace: Any, values: Any, dtype: str) -> bool:
    """Whether no value becomes infinite; to find the ends takes a fraction of counting."""
    if 0 in values.shape:
        return True
    extremes = (namespace.cast(find(values), dtype) for find in (namespace.min, namespace.max))
    return all(bool(namespace.isfinite(extreme)) for extreme in extremes)
