"""The actscope adapter for Keras 3 models, on JAX, TensorFlow and PyTorch.

Importing it imports neither Keras nor a backend: Keras fixes its backend when it is imported, so
that waits until a model is there or one is to be loaded, or until `Record` is asked for.
"""

from typing import TYPE_CHECKING, Any

from actscope_keras.adapter import KerasAdapter

if TYPE_CHECKING:
    from actscope_keras.training import Record as Record

__all__ = ["KerasAdapter", "Record"]


def __getattr__(name: str) -> Any:
    if name != "Record":
        raise AttributeError(f"module 'actscope_keras' has no attribute {name!r}")
    from actscope_keras.training import Record

    return Record
