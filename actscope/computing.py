"""What is done to an output between the layer and the host: reduce it, cast it, count overflows.

Written once against NumPy's names, so that every adapter does the same on its device.
"""

from typing import Any

from actscope.protocol import Wanted
from actscope.reduction import apply, parse


def compute(
    namespace: Any, wanted: Wanted, values: Any, mask: Any = None
) -> tuple[Any, Any | None]:
    """What is to be stored of a layer's output, or of its gradient.

    Args:
        namespace: NumPy's names for arrays of the kind of `values`, and `cast(array, dtype)`.
        wanted: what to make of the values.
        values: shape `(N, *wanted.source.shape)`.
        mask: the mask that the layer returned with the output, shape `(N, tokens)`, if any.

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
    overflowed = namespace.logical_and(namespace.isinf(cast), namespace.isfinite(result))
    inner = tuple(range(1, len(wanted.stored.shape) + 1))
    counts = namespace.cast(overflowed, "int32")
    return cast, namespace.sum(counts, axis=inner) if inner else counts
