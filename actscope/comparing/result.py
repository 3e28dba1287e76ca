"""What a comparison found, as plain data that knows no file any more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.errors import UnknownLayerError, nearest


@dataclass(frozen=True)
class Origin:
    """Where a recording comes from, as it says itself; empty where it does not say.

    Attributes:
        file: the file's name.
        framework: such as `"keras"`.
        backend: such as `"jax"`.
        device: such as `"cpu"`.
        policy: the dtype policy, such as `"mixed_float16"`.
        model: the model's name.
        weights: the hash of its weights.
        software: versions by name.
    """

    file: str
    framework: str
    backend: str
    device: str
    policy: str
    model: str
    weights: str
    software: dict[str, str]


@dataclass(frozen=True)
class WorstElement:
    """The element of a layer that differs most.

    Attributes:
        sample: its row in the first recording.
        sample_b: its row in the second one.
        sample_id: the sample's id, or empty.
        position: its index within the sample.
        a: its value in the first recording.
        b: its value in the second one.
    """

    sample: int
    sample_b: int
    sample_id: str
    position: tuple[int, ...]
    a: float
    b: float


@dataclass(frozen=True)
class LayerDifference:
    """How far one tensor of a layer differs between two recordings.

    Attributes:
        name: the layer path, and what tells the tensor from others of that layer.
        path: the layer path.
        class_name: the layer's class.
        depth: how many tensors were computed before it.
        shape: shape of one sample.
        dtypes: the logical dtypes of both sides.
        elements: how many elements were compared.
        largest_absolute: the largest absolute difference, in the layer's own unit.
        largest_relative: the largest difference relative to the larger of the two values.
        largest_ulps: the largest difference in units in the last place of the coarser dtype.
        rms: root mean square of the differences.
        scale: root mean square of the values of the larger side.
        cosine: cosine similarity, from -1 to 1; None where a side is all zero.
        largest_scaled: the largest difference relative to the larger of the two values and
            `scale`: what the verdict is about. Infinite where `unmatched` is not 0.
        tolerance: the largest `largest_scaled` that is put down to rounding.
        beyond: share of the elements, from 0 to 1, that differ by more than the tolerance.
        unmatched: how many elements are NaN or infinite on one side and not so on the other.
        jump: how many times more of its tolerance it takes than any layer before.
        worst: the element that differs most; None where all are equal.
    """

    name: str
    path: str
    class_name: str
    depth: int
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    elements: int
    largest_absolute: float
    largest_relative: float
    largest_ulps: float
    rms: float
    scale: float
    cosine: float | None
    largest_scaled: float
    tolerance: float
    beyond: float
    unmatched: int
    jump: float
    worst: WorstElement | None

    @property
    def within(self) -> bool:
        """Whether rounding explains every difference."""
        return self.largest_scaled <= self.tolerance

    @property
    def strain(self) -> float:
        """The largest difference as a multiple of the tolerance."""
        if self.largest_scaled == 0:
            return 0.0
        return self.largest_scaled / self.tolerance if self.tolerance else float("inf")


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike two models represent the same samples, layer by layer.

    Attributes:
        method: `"cka"`, `"rsa"` or `"svcca"`.
        samples: how many samples were used.
        layers_a: the names of the first model's tensors, in the order of execution.
        layers_b: those of the second one.
        values: the similarity of each pair, shape `(len(layers_a), len(layers_b))`, float64; NaN
            where a layer does not tell the samples apart or holds NaN.
    """

    method: str
    samples: int
    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is the same and what differs between two recordings.

    Attributes:
        a: where the first recording comes from.
        b: where the second one comes from.
        samples: how many samples were compared.
        layers: the differences in the order of execution; empty for different models.
        only_a: what only the first recording has.
        only_b: what only the second one has.
        not_compared: what both have but cannot be compared, and why.
        first_diverging: the name of the layer where the two part; None where they do not.
        notes: what was left out or taken for granted.
        similarity: for different models, how alike their layers are; else None.
    """

    a: Origin
    b: Origin
    samples: int
    layers: tuple[LayerDifference, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)
    first_diverging: str | None = None
    notes: tuple[str, ...] = ()
    similarity: Similarity | None = None

    @property
    def within(self) -> bool | None:
        """Whether every layer is within its tolerance; None where no differences were measured."""
        return all(layer.within for layer in self.layers) if self.layers else None

    def layer(self, name: str) -> LayerDifference:
        """The difference of the tensor called `name`.

        Raises:
            UnknownLayerError: there is none of that name.
        """
        known = {layer.name: layer for layer in self.layers}
        if name not in known:
            raise UnknownLayerError(f"{name!r} was not compared: {nearest(name, known)}")
        return known[name]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data that strict JSON can hold; infinities and NaN become None."""
        layers = [{**_attributes(layer), "within": layer.within} for layer in self.layers]
        return dict(_plain({**_attributes(self), "layers": layers, "within": self.within}))


def _attributes(value: Any) -> dict[str, Any]:
    return {attribute.name: getattr(value, attribute.name) for attribute in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _plain(_attributes(value))
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
