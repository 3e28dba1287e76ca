"""The actscope adapter for Keras 3 models, on JAX, TensorFlow and PyTorch.

Importing it imports neither Keras nor a backend: Keras fixes its backend when it is imported, so
that waits until a model is there or one is to be loaded.
"""

from actscope_keras.adapter import KerasAdapter

__all__ = ["KerasAdapter"]
