"""Finds what two recordings hold of the same layers: like with like, in the order of execution."""

from collections.abc import Iterator
from dataclasses import dataclass

from actscope.axes import shape_text
from actscope.comparing.precision import NOT_COMPARED
from actscope.errors import DataError
from actscope.store.reader import RecordedLayer, Recording

Identity = tuple[str, int, int, str, str, bool]
"""Path, call, index, key, reduction, and whether it is a gradient."""


@dataclass(frozen=True)
class Tensor:
    """One recorded tensor and where it stands in a run.

    Attributes:
        layer: the tensor.
        name: the layer path, and what tells the tensor from others of that layer.
        depth: how many tensors were computed before it; gradients follow on all activations.
    """

    layer: RecordedLayer
    name: str
    depth: int


@dataclass(frozen=True)
class Pairs:
    """The tensors of two recordings.

    Attributes:
        both: those that can be compared, in the order of execution of the first recording.
        only_a: the names of those that only the first recording has.
        only_b: the names of those that only the second one has.
        not_compared: the names of those that both have but that are not alike, and why.
    """

    both: tuple[tuple[Tensor, Tensor], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    not_compared: dict[str, str]


def tensors_of(recording: Recording) -> dict[Identity, Tensor]:
    """All tensors of a recording in the order of execution: activations, then gradients.

    Gradients are computed from the last layer to the first.
    """
    outputs = sorted(
        (output for path in recording for output in recording.outputs(path)),
        key=lambda output: output.order,
    )
    found = {_identity(output): Tensor(output, output.name, output.order) for output in outputs}
    deepest = max((output.order for output in outputs), default=0)
    for output in reversed(outputs):
        gradient = output.gradient
        if gradient is not None:
            depth = 2 * deepest + 1 - output.order
            name = f"{gradient.name} gradient"
            found[_identity(output, is_gradient=True)] = Tensor(gradient, name, depth)
    return found


def _identity(layer: RecordedLayer, *, is_gradient: bool = False) -> Identity:
    return (layer.path, layer.call, layer.index, layer.key, layer.reduction, is_gradient)


def pair(a: Recording, b: Recording, *, common: bool) -> Pairs:
    """Pair the tensors of two recordings.

    Raises:
        DataError: other layers, reductions or gradients were asked for on one side, and `common`
            is false.
    """
    first, second = tensors_of(a), tensors_of(b)
    pairs = Pairs(
        both=tuple(
            (tensor, second[identity])
            for identity, tensor in first.items()
            if identity in second and not _unlike(tensor, second[identity])
        ),
        only_a=tuple(tensor.name for key, tensor in first.items() if key not in second),
        only_b=tuple(tensor.name for key, tensor in second.items() if key not in first),
        not_compared={
            tensor.name: _unlike(tensor, second[identity])
            for identity, tensor in first.items()
            if identity in second and _unlike(tensor, second[identity])
        },
    )
    problems = list(_problems(a, b, pairs))
    if problems and not common:
        raise DataError(
            f"{a.path.name} and {b.path.name} were recorded with other selections: "
            f"{'; '.join(problems)}. Compare what both have with common=True or --common"
        )
    return pairs


def _unlike(first: Tensor, second: Tensor) -> str:
    """Why two tensors cannot be compared; empty where they can."""
    a, b = first.layer, second.layer
    if a.shape[1:] != b.shape[1:]:
        return f"shapes {shape_text(a.shape[1:])} and {shape_text(b.shape[1:])}"
    if a.dims != b.dims:
        return f"axes ({', '.join(a.dims)}) and ({', '.join(b.dims)})"
    bare = {a.logical_dtype, b.logical_dtype}.intersection(NOT_COMPARED)
    return f"dtype {bare.pop()}" if bare else ""


def _problems(a: Recording, b: Recording, pairs: Pairs) -> Iterator[str]:
    """What was asked for differently, where it shows in what was recorded.

    Backends may call different layers for the same selection: that alone is no problem.
    """
    if pairs.only_a or pairs.only_b:
        for word in ("selection", "reductions", "dtype"):
            if a.provenance.get(word) != b.provenance.get(word):
                yield f"{word} {a.provenance.get(word)!r} against {b.provenance.get(word)!r}"
    if any(name.endswith(" gradient") for name in _names(pairs)):
        for word in ("gradients", "targets"):
            if a.provenance.get(word) != b.provenance.get(word):
                yield f"{word} {a.provenance.get(word)!r} against {b.provenance.get(word)!r}"


def _names(pairs: Pairs) -> Iterator[str]:
    yield from (first.name for first, _ in pairs.both)
