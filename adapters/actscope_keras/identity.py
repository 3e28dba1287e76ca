"""Says what identifies a model and where it runs."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import keras
import numpy as np
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

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
    value_of = running_backend().value_of
    for weight in weights:
        array = np.ascontiguousarray(value_of(weight))
        digest.update(f"{weight.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _configuration(model: Any) -> str:
    """The model's configuration as JSON; a subclassed model may have none."""
    try:
        with _tensorflow_left_alone():
            return str(model.to_json())
    except Exception:
        return ""


@contextmanager
def _tensorflow_left_alone() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow only to see that a value is none of its kind.

    Where TensorFlow is installed and another backend runs, that takes seconds and much memory; and
    where it is not imported, no value can be of its kind.
    """
    if "tensorflow" in sys.modules or not hasattr(lazy_tensorflow, "_available"):
        yield
        return
    before = lazy_tensorflow._available
    lazy_tensorflow._available = False
    try:
        yield
    finally:
        lazy_tensorflow._available = before
