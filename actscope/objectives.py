"""What gradients are asked of: a class's logit, the model's loss, or a function of its outputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.errors import DataError, GradientError
from actscope.protocol import Array, Inputs, Objective

Gradients = str | int | npt.ArrayLike | Callable[..., Any] | None

PREDICTED = "predicted"
LOSS = "loss"


def objective_of(gradients: Gradients, targets: Any, samples: int) -> Objective | None:
    """The objective that a caller's words name.

    Args:
        gradients: `"predicted"` for the logit of each sample's strongest class; a class's number;
            one number per sample, shape `(N,)`; `"loss"` for the model's compiled loss; a
            function of the model's outputs (and of the targets, where there are any) that returns
            one number per sample; None for no gradients.
        targets: what the loss or the function gets besides: an array `(N, ...)`, or a list or dict
            of them.
        samples: N.

    Raises:
        GradientError: the words name no objective, or the targets are missing or superfluous.
        DataError: the labels or targets do not fit the samples.
    """
    packed = None if targets is None else packed_targets(targets, samples)
    if gradients is None:
        if packed is not None:
            raise GradientError("y= is used for gradients alone: pass gradients='loss' with it")
        return None
    if callable(gradients):
        return Objective("function", gradients, packed)
    if isinstance(gradients, str) and gradients == LOSS:
        if packed is None:
            raise GradientError("gradients='loss' needs y=, what the loss compares outputs with")
        return Objective("loss", targets=packed)
    if packed is not None:
        raise GradientError("y= is for gradients='loss' or a function: leave it out for classes")
    return Objective("class", targets=_classes(gradients, samples))


def _classes(gradients: Any, samples: int) -> Inputs | None:
    if isinstance(gradients, str):
        if gradients != PREDICTED:
            raise GradientError(
                f"gradients={gradients!r}: give 'predicted', 'loss', a class's number, one number "
                "per sample, or a function of the model's outputs"
            )
        return None
    classes = np.asarray(gradients)
    if classes.dtype.kind not in "iu" or classes.ndim > 1:
        raise GradientError(
            f"gradients of shape {classes.shape} and dtype {classes.dtype} name no classes: give "
            "one whole number per sample"
        )
    if classes.ndim == 1 and len(classes) != samples:
        raise DataError(f"gradients= has {len(classes)} labels for {samples} samples")
    return Inputs((np.broadcast_to(classes.astype(np.int32), (samples,)),))


def packed_targets(targets: Any, samples: int) -> Inputs:
    """Targets as flat arrays, with how they were given.

    Raises:
        DataError: they are not as many as the samples.
    """
    if isinstance(targets, Mapping):
        arrays = tuple(np.asarray(part) for part in targets.values())
        packed = Inputs(arrays, tuple(str(name) for name in targets), single=False)
    elif isinstance(targets, list | tuple) and targets and hasattr(targets[0], "shape"):
        packed = Inputs(tuple(np.asarray(part) for part in targets), single=False)
    else:
        packed = Inputs((np.asarray(targets),))
    for array in packed.arrays:
        if array.ndim == 0 or len(array) < samples:
            raise DataError(f"y has shape {array.shape} for {samples} samples: give one row each")
    return packed


def with_targets(
    batches: Iterator[tuple[Array, ...]], targets: Sequence[Array], start: int = 0
) -> Iterator[tuple[Array, ...]]:
    """Batches of inputs with the same samples' targets after them; the first is sample `start`."""
    for batch in batches:
        stop = start + len(batch[0])
        yield (*batch, *(np.ascontiguousarray(array[start:stop]) for array in targets))
        start = stop
