"""Says what identifies a model and where it runs."""

import hashlib
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from actscope.protocol import ModelProvenance
from actscope_keras.tracing import running_backend


def identify(model: Any) -> ModelProvenance:
    """What tells this model from any other, and the software and device that it runs on."""
    name = keras.config.backend()
    software = {"keras": keras.__version__, name: sys.modules[name].__version__}
    if name == "jax":
        software["jaxlib"] = version("jaxlib")
    return ModelProvenance(
        model=str(model.name),
        weights_sha256=_hash_of(model.weights),
        configuration=_configuration(model),
        policy=str(getattr(model.dtype_policy, "name", model.dtype_policy)),
        framework="keras",
        backend=name,
        device=running_backend().device(),
        software=software,
    )


def _hash_of(weights: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for weight in weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _configuration(model: Any) -> str:
    """The model's configuration as JSON; a subclassed model may have none."""
    try:
        return str(model.to_json())
    except Exception:
        return ""
