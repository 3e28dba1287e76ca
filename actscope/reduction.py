"""What is computed from an output before it is stored: means, maxima, tokens, projections.

A reduction is named by a text such as `"mean"` or `"token:-1"`, which is also what the file keeps.
It is written once, against the names that NumPy, `jax.numpy` and `keras.ops` share, so that it runs
on the device while recording and on NumPy arrays afterwards.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from actscope.axes import shape_text
from actscope.errors import ReductionError, nearest
from actscope.projection import project
from actscope.protocol import OutputInfo

NONE = "none"
MASKED_MEAN = "masked_mean"

SPACE = ("z", "y", "x")
TIME = ("token", "step")
_POSITIONS = (*SPACE, *TIME, "query", "key")


@dataclass(frozen=True)
class Reduction:
    """A parsed reduction.

    Attributes:
        name: such as `"mean"`.
        argument: such as `"-1"`; canonical, or empty.
    """

    name: str
    argument: str = ""

    @property
    def text(self) -> str:
        """What names it in the file, such as `"token:-1"`."""
        return f"{self.name}:{self.argument}" if self.argument else self.name


def parse(text: str) -> Reduction:
    """The reduction that a text names.

    Args:
        text: `none`; `mean`, `max`, `std` or `l2` over the spatial or time axes; `token:0`,
            `token:-1`; `masked_mean` over the tokens that the layer's own mask keeps, or
            `masked_mean:INPUT` over those where that input of the model is not zero;
            `channels:[0,3]`, `channels:0:16` or `channels:0:64:2`; `flatten`; `pool:2`;
            `project:128` or, with a seed, `project:128:7`.

    Raises:
        ReductionError: it names none.
    """
    if not isinstance(text, str):
        raise ReductionError(f"reduce={text!r} is a {type(text).__name__}: give a text like 'mean'")
    name, _, argument = text.replace(" ", "").partition(":")
    if name not in _KINDS:
        raise ReductionError(f"unknown reduction {text!r}: {nearest(name, _KINDS)}")
    kind = _KINDS[name]
    if not re.fullmatch(kind.argument, argument):
        raise ReductionError(f"the reduction {text!r} is malformed: write {kind.example}")
    return Reduction(name, kind.canonical(argument))


def reduced(output: OutputInfo, reduction: Reduction) -> OutputInfo:
    """The description of `output` after a reduction.

    Raises:
        ReductionError: the reduction does not fit the output's axes.
    """
    if reduction.name == NONE:
        return output
    shape, axes = _KINDS[reduction.name].describe(output, reduction.argument)
    if 0 in shape:
        raise _misfit(output, reduction, f"it would leave the shape {shape_text(shape)}")
    computes = _KINDS[reduction.name].computes
    return replace(
        output,
        shape=shape,
        axes=axes,
        dtype=computed_in(output.dtype) if computes else output.dtype,
        reduction=reduction.text,
        unreduced_shape=output.shape,
    )


def fits(output: OutputInfo, reduction: Reduction) -> bool:
    """Whether the reduction can be computed from the output."""
    try:
        reduced(output, reduction)
    except ReductionError:
        return False
    return True


def computed_in(dtype: str) -> str:
    """The dtype in which sums over values of `dtype` are formed, and stored."""
    return "float64" if dtype == "float64" else "float32"


def apply(
    namespace: Any, values: Any, output: OutputInfo, reduction: Reduction, mask: Any = None
) -> Any:
    """Compute a reduction.

    Args:
        namespace: NumPy's names for arrays of the kind of `values`, and `cast(array, dtype)`.
        values: shape `(N, *output.shape)`.
        output: describes the values as they are, before the reduction.
        reduction: one that fits them.
        mask: for `masked_mean`: shape `(N, tokens)`, not zero where a token counts.

    Returns:
        Shape and dtype as `reduced` describes them, behind the sample axis.
    """
    if reduction.name == NONE:
        return values
    kind = _KINDS[reduction.name]
    if kind.computes and output.dtype != computed_in(output.dtype):
        values = namespace.cast(values, computed_in(output.dtype))
    if reduction.name == MASKED_MEAN:
        return _masked_mean(namespace, values, output, mask)
    return kind.apply(namespace, values, output, reduction.argument)


def _misfit(output: OutputInfo, reduction: Reduction, why: str) -> ReductionError:
    axes = ", ".join(output.axes) or "no axes"
    return ReductionError(
        f"the reduction {reduction.text!r} does not fit {output.path!r} of shape "
        f"{shape_text(output.shape)} ({axes}): {why}"
    )


def _positions(output: OutputInfo, of: Sequence[str] = _POSITIONS) -> tuple[int, ...]:
    """Which axes, the sample axis being 0, are positions in space or time."""
    has_channels = "channel" in output.axes
    return tuple(
        number
        for number, axis in enumerate(output.axes, start=1)
        if axis in of or (has_channels and axis.startswith("axis_") and of is _POSITIONS)
    )


Described = tuple[tuple[int, ...], tuple[str, ...]]


def _without(output: OutputInfo, dropped: Sequence[int]) -> Described:
    kept = [number for number in range(len(output.shape)) if number + 1 not in dropped]
    return tuple(output.shape[k] for k in kept), tuple(output.axes[k] for k in kept)


def _describe_over_positions(name: str) -> Callable[[OutputInfo, str], Described]:
    def describe(output: OutputInfo, argument: str) -> Described:
        dropped = _positions(output)
        if not dropped:
            raise _misfit(output, Reduction(name, argument), "it has no spatial or time axis")
        return _without(output, dropped)

    return describe


def _mean(namespace: Any, values: Any, output: OutputInfo, _: str) -> Any:
    return namespace.mean(values, axis=_positions(output))


def _max(namespace: Any, values: Any, output: OutputInfo, _: str) -> Any:
    return namespace.max(values, axis=_positions(output))


def _std(namespace: Any, values: Any, output: OutputInfo, _: str) -> Any:
    return namespace.std(values, axis=_positions(output))


def _l2(namespace: Any, values: Any, output: OutputInfo, _: str) -> Any:
    return namespace.sqrt(namespace.sum(namespace.square(values), axis=_positions(output)))


def _token_axis(output: OutputInfo, reduction: Reduction) -> int:
    tokens = _positions(output, TIME)
    if len(tokens) != 1:
        raise _misfit(output, reduction, "it has no one token axis")
    return tokens[0]


def _describe_masked_mean(output: OutputInfo, argument: str) -> Described:
    return _without(output, [_token_axis(output, Reduction(MASKED_MEAN, argument))])


def _masked_mean(namespace: Any, values: Any, output: OutputInfo, mask: Any) -> Any:
    axis = _token_axis(output, Reduction(MASKED_MEAN))
    shape = [1] * (len(output.shape) + 1)
    shape[0], shape[axis] = values.shape[0], output.shape[axis - 1]
    weights = namespace.cast(namespace.not_equal(mask, 0), computed_in(output.dtype))
    weights = namespace.reshape(weights, shape)
    total = namespace.sum(weights, axis=axis)
    # A sample without a single token that counts has no mean: NaN, as a mean of nothing is.
    return namespace.sum(namespace.where(weights > 0, values, 0.0), axis=axis) / total


def _describe_token(output: OutputInfo, argument: str) -> Described:
    reduction = Reduction("token", argument)
    axis = _token_axis(output, reduction)
    length = output.shape[axis - 1]
    if not -length <= int(argument) < length:
        raise _misfit(output, reduction, f"there are {length} tokens")
    return _without(output, [axis])


def _token(namespace: Any, values: Any, output: OutputInfo, argument: str) -> Any:
    axis = _token_axis(output, Reduction("token", argument))
    return namespace.take(values, int(argument) % output.shape[axis - 1], axis=axis)


def _channel_axis(output: OutputInfo, reduction: Reduction) -> int:
    if "channel" not in output.axes:
        raise _misfit(output, reduction, "it has no channel axis")
    return output.axes.index("channel") + 1


def _chosen(argument: str, length: int) -> list[int]:
    if argument.startswith("["):
        return [int(number) for number in argument[1:-1].split(",")]
    bounds = [int(bound) if bound else None for bound in argument.split(":")]
    return list(range(length))[slice(*bounds)]


def _describe_channels(output: OutputInfo, argument: str) -> Described:
    reduction = Reduction("channels", argument)
    axis = _channel_axis(output, reduction)
    length = output.shape[axis - 1]
    chosen = _chosen(argument, length)
    if any(not -length <= number < length for number in chosen):
        raise _misfit(output, reduction, f"there are {length} channels")
    shape = list(output.shape)
    shape[axis - 1] = len(chosen)
    return tuple(shape), output.axes


def _channels(namespace: Any, values: Any, output: OutputInfo, argument: str) -> Any:
    axis = _channel_axis(output, Reduction("channels", argument))
    length = output.shape[axis - 1]
    chosen = [number % length for number in _chosen(argument, length)]
    return namespace.take(values, np.array(chosen, np.int32), axis=axis)


def _describe_flatten(output: OutputInfo, _: str) -> Described:
    return (prod(output.shape),), ("feature",)


def _flatten(namespace: Any, values: Any, output: OutputInfo, _: str) -> Any:
    return namespace.reshape(values, (values.shape[0], prod(output.shape)))


def _describe_pool(output: OutputInfo, argument: str) -> Described:
    reduction = Reduction("pool", argument)
    axes = _positions(output, SPACE)
    if not axes:
        raise _misfit(output, reduction, "it is no map: it has no spatial axes")
    if any(output.shape[axis - 1] < int(argument) for axis in axes):
        raise _misfit(output, reduction, "the map is smaller than that")
    shape = list(output.shape)
    for axis in axes:
        shape[axis - 1] //= int(argument)
    return tuple(shape), output.axes


def _pool(namespace: Any, values: Any, output: OutputInfo, argument: str) -> Any:
    """Average pooling without overlap; what does not fill a window at the far edge is left out."""
    window, pooled = int(argument), _positions(output, SPACE)
    crop: list[slice] = [slice(None)]
    split: list[int] = [values.shape[0]]
    inner: list[int] = []
    for axis, length in enumerate(output.shape, start=1):
        whole = length // window * window if axis in pooled else length
        crop.append(slice(0, whole))
        split += [whole // window, window] if axis in pooled else [whole]
        if axis in pooled:
            inner.append(len(split) - 1)
    return namespace.mean(namespace.reshape(values[tuple(crop)], split), axis=tuple(inner))


def _describe_project(_: OutputInfo, argument: str) -> Described:
    return (int(argument.partition(":")[0]),), ("feature",)


def _project(namespace: Any, values: Any, output: OutputInfo, argument: str) -> Any:
    size, seed = (int(number) for number in argument.split(":"))
    return project(namespace, _flatten(namespace, values, output, ""), size, seed)


@dataclass(frozen=True)
class _Kind:
    """One kind of reduction: how its argument looks, what comes out, and how it is computed."""

    example: str
    describe: Callable[[OutputInfo, str], Described]
    apply: Callable[[Any, Any, OutputInfo, str], Any]
    argument: str = ""
    canonical: Callable[[str], str] = str
    computes: bool = True


def _listed(argument: str) -> str:
    return argument if ":" in argument or "[" in argument else f"[{argument}]"


def _seeded(argument: str) -> str:
    return argument if ":" in argument else f"{argument}:0"


def _identity(_: Any, values: Any, __: OutputInfo, ___: str) -> Any:
    return values


_LIST = r"-?\d+(,-?\d+)*"
_SLICE = r"(-?\d+)?:(-?\d+)?(:[1-9]\d*)?"

_KINDS = {
    NONE: _Kind("'none'", lambda output, _: (output.shape, output.axes), _identity),
    "mean": _Kind("'mean'", _describe_over_positions("mean"), _mean),
    "max": _Kind("'max'", _describe_over_positions("max"), _max, computes=False),
    "std": _Kind("'std'", _describe_over_positions("std"), _std),
    "l2": _Kind("'l2'", _describe_over_positions("l2"), _l2),
    "token": _Kind("'token:0' or 'token:-1'", _describe_token, _token, r"-?\d+", computes=False),
    MASKED_MEAN: _Kind(
        "'masked_mean' or 'masked_mean:INPUT'", _describe_masked_mean, _identity, r".*"
    ),
    "channels": _Kind(
        "'channels:[0,3]' or 'channels:0:16'",
        _describe_channels,
        _channels,
        rf"\[{_LIST}\]|{_LIST}|{_SLICE}",
        _listed,
        computes=False,
    ),
    "flatten": _Kind("'flatten'", _describe_flatten, _flatten, computes=False),
    "pool": _Kind("'pool:2'", _describe_pool, _pool, r"[1-9]\d*"),
    "project": _Kind(
        "'project:128' or, with a seed, 'project:128:7'",
        _describe_project,
        _project,
        r"[1-9]\d*(:\d+)?",
        _seeded,
    ),
}
