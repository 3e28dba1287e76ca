"""Gives every layer of a model its path: names joined by `/` from the model down."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import keras

from actscope.store.schema import unique


class LayerPaths:
    """The paths of a model's layers, from its structure; unique and the same on every backend.

    A layer that stands in several places has the path of the first, the one nearest to the model.
    """

    def __init__(self, model: Any) -> None:
        self._paths: dict[int, str] = {id(model): ""}
        # By path, in the structure's order; keeps each alive too, so that its id stays its own.
        self.layers: dict[str, Any] = {}
        parents = deque([model])
        while parents:
            parent = parents.popleft()
            for child in _children(parent):
                if id(child) not in self._paths:
                    self._name(child, self._paths[id(parent)])
                    parents.append(child)

    def _name(self, layer: Any, parent: str) -> None:
        prefix = f"{parent}/" if parent else ""
        path = unique(prefix + layer.name, self.layers)
        self._paths[id(layer)] = path
        self.layers[path] = layer

    def weights(self, variables: Iterable[Any]) -> list[str]:
        """A path for each of the model's variables: its layer's, and its name there."""
        owners: dict[int, str] = {}
        for path, layer in self.layers.items():  # enclosing layers first
            owned = getattr(layer, "variables", ())
            owners.update((id(variable), f"{path}/{variable.name}") for variable in owned)
        names: list[str] = []
        for variable in variables:
            names.append(unique(owners.get(id(variable), variable.name), names))
        return names

    def boundary(self, name: str) -> str:
        """A path for an input or output of the model that is no layer, unlike any layer's."""
        return unique(name, self.layers)

    def of_input(self, name: str) -> str:
        """The path of one of the model's inputs: its input layer's, where it has one."""
        is_layer = isinstance(self.layers.get(name), keras.layers.InputLayer)
        return name if is_layer else self.boundary(name)

    def __contains__(self, layer: Any) -> bool:
        """Whether the layer is part of the model's structure, and not made anew at every call."""
        return id(layer) in self._paths

    def path_of(self, layer: Any) -> str:
        """The path of one of the model's layers; empty for the model itself."""
        return self._paths[id(layer)]


def _children(layer: Any) -> list[Any]:
    """Sublayers one level down, and the operations of a functional model that are no layers.

    Found as Keras finds them for `Model.layers`, but for any layer.
    """
    if not isinstance(layer, keras.layers.Layer):
        return []
    children = list(layer._flatten_layers(include_self=False, recursive=False))
    operations = getattr(layer, "operations", None) or ()
    return children + [entry for entry in operations if not isinstance(entry, keras.layers.Layer)]
