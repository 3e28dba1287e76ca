"""The adapter itself: what actscope asks of a framework, answered for Keras 3.

It imports Keras only when a model is there or one is to be loaded: Keras fixes its backend when it
is imported.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from actscope.protocol import Array, InputInfo, Inputs, ModelProvenance, Trace
from actscope_keras import backend as backends


class KerasAdapter:
    """Makes Keras 3 models known to actscope, on whichever backend Keras runs."""

    name = "keras"

    def accepts(self, model: object) -> bool:
        """Whether it is a Keras model; without Keras there can be none."""
        keras = sys.modules.get("keras")
        return keras is not None and isinstance(model, keras.Model)

    def load(
        self, source: str, *, backend: str | None, structure_only: bool, trusted: bool = False
    ) -> object:
        """The model in a `.keras` file, or that `package.module:callable` returns."""
        backends.choose(backend)
        return import_module("actscope_keras.loading").load(
            source, structure_only=structure_only, trusted=trusted
        )

    def inputs(self, model: Any) -> list[InputInfo] | None:
        """The declared inputs of a functional model, or those that any other was built for."""
        from actscope_keras.tracing import declared_inputs

        return declared_inputs(model)

    def trace(self, model: Any, example: Inputs | None) -> Trace:
        """Run the model once on a few rows of `example`, abstractly where the backend can."""
        from actscope_keras.tracing import KerasTrace, blank

        return KerasTrace(model, example or blank(model), known=example is not None)

    def share_weights(self, model: Any, path: Path) -> None:
        """Take the weights from a `.npz` file; where it is missing, write them there first."""
        from actscope_keras.weights import share_weights

        share_weights(model, path)

    def peak_device_bytes(self, model: Any) -> int | None:
        """The accelerator's peak of memory, as the backend counts it."""
        from actscope_keras.tracing import running_backend

        return running_backend().peak_device_bytes(model)

    def weight_gradients(
        self, model: Any, inputs: Inputs, targets: Inputs, *, share: float
    ) -> dict[str, Array]:
        """One batch's part in the gradient of the model's loss, by the path of each weight."""
        from actscope_keras.weights import weight_gradients

        return weight_gradients(model, inputs, targets, share)

    def provenance(self, model: Any) -> ModelProvenance:
        """What identifies the model and where it runs."""
        from actscope_keras.identity import identify

        return identify(model)
