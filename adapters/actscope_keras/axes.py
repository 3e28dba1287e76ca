"""Names the axes of what a layer returned, and says where its channels stand."""

from collections.abc import Sequence
from typing import Any

from actscope.axes import channels_last


def axis_names(layer: Any, enclosing: Sequence[Any], rank: int, data_format: str) -> list[str]:
    """A name for each axis of one sample of rank `rank` that `layer` returned.

    Within an attention layer four-dimensional tensors are heads of queries, keys or values
    `(token, head, channel)`, or the probabilities `(head, query, key)`.
    """
    if rank == 3 and _is_attention(enclosing):
        projected = type(layer).__name__ == "EinsumDense"
        return ["token", "head", "channel"] if projected else ["head", "query", "key"]
    names = list(channels_last(rank))
    if data_format == "channels_first" and rank > 1:
        names = [names[-1], *names[:-1]]
    return names


def _is_attention(enclosing: Sequence[Any]) -> bool:
    return bool(enclosing) and type(enclosing[-1]).__name__.endswith("Attention")


def own_data_format(layer: Any, rank: int) -> str | None:
    """The data format that a layer itself declares, or None where it follows its input."""
    declared = getattr(layer, "data_format", None)
    if declared in ("channels_first", "channels_last"):
        return str(declared)
    if type(layer).__name__ == "BatchNormalization" and rank > 1:
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        return "channels_first" if axis == 1 else "channels_last"
    return None
