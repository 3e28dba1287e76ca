"""The gradients of a model's loss with respect to its weights, averaged over any amount of data."""

from typing import Any

import numpy as np

from actscope.batching import DEFAULT_BATCH_SIZE
from actscope.extraction import feed_for
from actscope.objectives import packed_targets, with_targets
from actscope.protocol import Array, Inputs
from actscope.registry import adapter_for


def weight_gradients(
    model: Any, x: Any, y: Any, *, batch_size: int = DEFAULT_BATCH_SIZE
) -> dict[str, Array]:
    """The gradient of the model's compiled loss with respect to each trainable weight.

    The loss is that of `model.evaluate(x, y)`: in inference mode, averaged over the samples (summed
    where the loss is compiled to add them up), regularization included. The model stays as it is.

    Args:
        model: a compiled model that an installed adapter knows.
        x: the inputs, as `actscope.extract` takes them.
        y: what the loss compares the outputs with, `(N, ...)`, or a list or dict of such.
        batch_size: samples per batch.

    Returns:
        One array of the weight's shape by the weight's path, such as `"conv2d/kernel"`.

    Raises:
        GradientError: the model has no loss, or `y` does not fit it.
        DataError: the data do not fit the model, or `y` has another length.
        ModelError: the model is of no known kind, or fails on the data.
    """
    adapter = adapter_for(model)
    feed = feed_for(adapter, model, x)
    example, targets = feed.example, packed_targets(y, feed.length)
    totals: dict[str, Array] = {}
    for arrays in with_targets(feed.batches(batch_size, 0), targets.arrays):
        count = len(example.arrays)
        gradients = adapter.weight_gradients(
            model,
            Inputs(arrays[:count], example.names, example.single),
            Inputs(arrays[count:], targets.names, targets.single),
            share=len(arrays[0]) / feed.length,
        )
        for path, gradient in gradients.items():
            totals[path] = totals.get(path, 0) + np.asarray(gradient, np.float64)
    return {path: np.asarray(total, np.float32) for path, total in totals.items()}
