"""Computes reductions of what was recorded, as they would have been computed while recording."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import channels_last
from actscope.errors import ReductionError, nearest
from actscope.planning import Reductions, plan_wanted
from actscope.protocol import Array, OutputInfo
from actscope.recorded import described_layers, output_of
from actscope.reduction import MASKED_MEAN, Reduction, apply, parse, reduced
from actscope.store.reader import RecordedLayer, Recording

BYTES_AT_A_TIME = 64 * 2**20

NUMPY = SimpleNamespace(
    **{
        name: getattr(np, name)
        for name in (
            *("mean", "max", "std", "sum", "sqrt", "square", "reshape", "take", "pad", "where"),
            *("not_equal", "isinf", "isfinite", "logical_and"),
        )
    },
    cast=np.asarray,
)
"""NumPy's names, with `cast`, as reductions want them."""


def reduce(
    source: Recording | RecordedLayer | npt.ArrayLike, reduction: Reductions
) -> Array | dict[str, Array]:
    """Reduce what was recorded, in bounded memory beside the result.

    Args:
        source: a layer of a recording; an array `(N, ...)` with its channels last; or a recording,
            whose layers' first outputs are reduced.
        reduction: one of those that `actscope.extract` takes as `reduce=`, such as `"mean"` or
            `"token:0"`; for a recording also `{glob: reduction}`.

    Returns:
        An array `(N, ...)` of the committed samples; for a recording one by layer path, or by path
        and reduction, as in `"conv2d mean"`, where a layer has several.

    Raises:
        ReductionError: the reduction is malformed or does not fit.
        UnknownLayerError: a glob matches no layer.
    """
    if isinstance(source, Recording):
        return _reduce_recording(source, reduction)
    if not isinstance(reduction, str):
        raise ReductionError(f"reduction={reduction!r}: one layer takes one text, such as 'mean'")
    if isinstance(source, RecordedLayer):
        return _reduce_layer(source, parse(reduction))
    array = np.asarray(source)
    return _computed(array, _described(array, "the array"), parse(reduction), None)


def _reduce_recording(recording: Recording, reductions: Reductions) -> dict[str, Array]:
    layers = described_layers(recording)
    shapes = {tensor.name: tensor.shape[1:] for tensor in recording.inputs}
    wanted = plan_wanted(layers, reduce=reductions, input_shapes=shapes)
    several = len({tensor.source.path for tensor in wanted}) < len(wanted)
    results = {}
    for tensor in wanted:
        path, text = tensor.source.path, tensor.stored.reduction
        name = f"{path} {text}" if several else path
        results[name] = _reduce_layer(recording[path], parse(text))
    return results


def _reduce_layer(layer: RecordedLayer, reduction: Reduction) -> Array:
    mask = _mask_input(layer, reduction)
    return _computed(layer, output_of(layer), reduction, mask)


def _described(array: Array, name: str) -> OutputInfo:
    if array.ndim == 0:
        raise ReductionError("a number cannot be reduced: give an array with a sample axis")
    axes = channels_last(array.ndim - 1)
    return OutputInfo(name, "", 0, 0, 0, "", array.shape[1:], str(array.dtype), axes)


def _mask_input(layer: RecordedLayer, reduction: Reduction) -> Any:
    if reduction.name != MASKED_MEAN:
        return None
    inputs = {tensor.name: tensor for tensor in layer.recording.inputs}
    if reduction.argument not in inputs:
        raise ReductionError(
            f"{reduction.text!r} needs a stored input that says which tokens count, as in "
            f"'masked_mean:padding_mask': {nearest(reduction.argument, inputs)}"
        )
    return inputs[reduction.argument]


def _computed(values: Any, output: OutputInfo, reduction: Reduction, mask: Any) -> Array:
    reduced(output, reduction)  # refuses what does not fit
    parts = [
        apply(NUMPY, values[rows], output, reduction, None if mask is None else mask[rows])
        for rows in _blocks(len(values), output.bytes_per_sample)
    ]
    return np.concatenate(parts)


def _blocks(samples: int, bytes_per_sample: int) -> Iterator[slice]:
    step = max(1, BYTES_AT_A_TIME // max(1, bytes_per_sample))
    yield from (slice(start, start + step) for start in range(0, max(samples, 1), step))
