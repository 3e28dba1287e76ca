"""Differentiates a model's loss with respect to its weights."""

from typing import Any

import keras
import numpy as np

from actscope.errors import ActscopeError, GradientError, first_line
from actscope.protocol import Array, Inputs
from actscope.store.schema import unique
from actscope_keras.forward import packer
from actscope_keras.objective import build_loss, check_loss, packed
from actscope_keras.tracing import running_backend


def weight_gradients(model: Any, inputs: Inputs, targets: Inputs, share: float) -> dict[str, Array]:
    """See `actscope.protocol.Adapter.weight_gradients`."""
    check_loss(model)
    tensors = [keras.ops.convert_to_tensor(array) for array in inputs.arrays]
    wanted = packed(targets, [keras.ops.convert_to_tensor(array) for array in targets.arrays])
    given = packer(model, inputs)(tensors)
    if not model._compile_loss.built:
        build_loss(model, model(given, training=False), wanted)
    with keras.StatelessScope():
        gradients = _computed(model, given, wanted, share)
    named: dict[str, Array] = {}
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        path = unique(variable.path, named)
        named[path] = np.asarray(keras.ops.convert_to_numpy(gradient))
    return named


def _computed(model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
    try:
        return running_backend().weight_gradients(model, inputs, targets, share)
    except ActscopeError:
        raise
    except Exception as error:
        raise GradientError(
            f"the model's loss cannot be computed: {type(error).__name__}: {first_line(error)}"
        ) from error
