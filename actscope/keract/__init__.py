"""Keract's interface, in terms of actscope: its users change one import.

Keract (version 4.5.2, by Philippe Rémy) ends with TensorFlow 2.15. Here the same names run on
Keras 3, on JAX, TensorFlow and PyTorch. docs/from-keract.md says what is different.
"""

from actscope.keract.activations import get_activations
from actscope.keract.displays import (
    display_activations,
    display_gradients_of_trainable_weights,
    display_heatmaps,
)
from actscope.keract.files import load_activations_from_json_file, persist_to_json_file
from actscope.keract.gradients import (
    get_gradients_of_activations,
    get_gradients_of_trainable_weights,
)

__all__ = [
    "display_activations",
    "display_gradients_of_trainable_weights",
    "display_heatmaps",
    "get_activations",
    "get_gradients_of_activations",
    "get_gradients_of_trainable_weights",
    "load_activations_from_json_file",
    "persist_to_json_file",
]
