"""A model's weights: their gradients, and the file that several processes take them from."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from actscope.errors import ActscopeError, GradientError, first_line
from actscope.protocol import Array, Inputs
from actscope_keras.forward import own_state, packer
from actscope_keras.naming import LayerPaths
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
    with keras.StatelessScope(state_mapping=own_state(model)):
        gradients = _computed(model, given, wanted, share)
    paths = LayerPaths(model).weights(model.trainable_variables)
    arrays = [np.asarray(keras.ops.convert_to_numpy(gradient)) for gradient in gradients]
    return dict(zip(paths, arrays, strict=True))


def _computed(model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
    try:
        return running_backend().weight_gradients(model, inputs, targets, share)
    except ActscopeError:
        raise
    except Exception as error:
        raise GradientError(
            f"the model's loss cannot be computed: {type(error).__name__}: {first_line(error)}"
        ) from error


def share_weights(model: Any, path: Path) -> None:
    """See `actscope.protocol.Adapter.share_weights`."""
    if not path.exists():
        weights = [np.asarray(weight) for weight in model.get_weights()]
        partial = path.with_name(f"partial-{path.name}")
        np.savez(partial, *weights)
        partial.replace(path)
    with np.load(path, allow_pickle=False) as stored:
        model.set_weights([stored[f"arr_{number}"] for number in range(len(stored.files))])
