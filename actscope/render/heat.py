"""Makes a layer's activation fit the input that it is laid over. Pure: no drawing."""

from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
from PIL import Image

from actscope.errors import RenderError, nearest
from actscope.render.layout import Maps, strongest
from actscope.render.subject import Values, find_position
from actscope.render.words import maps_words

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
_MERGED_LABELS = {
    "mean": "mean activation over {}s",
    "max": "max activation over {}s",
    "l2": "L2 norm over {}s",
}


@dataclass(frozen=True)
class Heat:
    """What is laid over an input.

    Attributes:
        maps: shape `(count, height, width)`; one, or one for each channel shown.
        label: what the values are.
        words: which channels these are, of what size.
        numbers: the channel of each map, empty where they were merged.
    """

    maps: Values
    label: str
    words: str
    numbers: tuple[str, ...] = ()


def choose(maps: Maps, merge: str | None, channel: int | None, name: str) -> Heat:
    """One map merged over the channels, that of one channel, or one for each.

    Args:
        maps: with one slice per channel.
        merge: `"mean"`, `"max"`, `"l2"` (the root of the sum of squares), or None for a map of
            each channel, the strongest where there are many.
        channel: the one channel to take, whatever `merge` says, or None.
        name: the layer's, for messages.

    Raises:
        RenderError: there is no such merging or channel.
    """
    if merge is not None and merge not in _MERGED_LABELS:
        raise RenderError(f"no merge {merge!r}: {nearest(str(merge), _MERGED_LABELS)}, or None")
    count = len(maps.values)
    if channel is not None:
        number = find_position(channel, count, maps.noun, name)
        taken = maps.values[number : number + 1, 0]
        words = f"{maps.noun} {number} of {maps_words(maps, count)}"
        return Heat(taken, f"activation of {maps.noun} {number}", words, (str(number),))
    if merge is None:
        shown = strongest(maps)
        return Heat(shown.tiles, "activation", maps_words(shown, count), tuple(shown.labels))
    label = _MERGED_LABELS[merge].format(maps.noun)
    return Heat(_merged(maps.tiles, merge)[np.newaxis], label, maps_words(maps, count))


def _merged(values: Values, merge: str) -> Values:
    with np.errstate(invalid="ignore", over="ignore"):
        if merge == "l2":
            merged: Values = np.sqrt(np.square(values, dtype=np.float64).sum(axis=0))
        elif merge == "max":
            merged = values.max(axis=0)
        else:
            merged = values.mean(axis=0, dtype=np.float64)
    return merged.astype(values.dtype)


def square_tokens(maps: Maps) -> tuple[Maps, bool]:
    """Tokens `(channels, 1, 1, tokens)` as a square map, and whether a class token was dropped.

    The class token is the first one, left out where the others form a square and all do not.

    Raises:
        RenderError: they form no square either way.
    """
    count = maps.values.shape[-1]
    found = square_of(count)
    if found is None:
        raise RenderError(
            f"{count} {maps.column_axis}s form no square, with or without a class token, so they "
            "cannot be laid over an image: use render.grid"
        )
    side, extra = found
    shape = (*maps.values.shape[:2], side, side)
    square = maps.values[..., extra:].reshape(shape)
    return replace(maps, values=square, row_axis="y", column_axis="x"), bool(extra)


def square_of(count: int) -> tuple[int, int] | None:
    """The side of the square that `count` tokens form, and how many come before it: 0 or 1."""
    for extra in (0, 1):
        side = isqrt(count - extra)
        if side and side * side == count - extra:
            return side, extra
    return None


def resized(maps: Values, shape: tuple[int, ...], interpolation: str) -> Values:
    """Maps `(count, h, w)` as `(count, *shape)`, float32; what is not finite becomes NaN.

    Values that are not finite weigh nothing in the interpolation of their neighbours.

    Raises:
        RenderError: there is no such interpolation.
    """
    if interpolation not in _RESAMPLING:
        raise RenderError(
            f"no interpolation {interpolation!r}: {nearest(str(interpolation), _RESAMPLING)}"
        )
    height, width = shape
    return np.stack([_resized_map(single, (width, height), interpolation) for single in maps])


def _resized_map(single: Values, size: tuple[int, int], interpolation: str) -> Values:
    finite = np.isfinite(single)
    values = _resample(np.where(finite, single, 0), size, interpolation)
    if finite.all():
        return values
    weights = _resample(finite, size, interpolation)
    lost = _resample(finite, size, "nearest") == 0
    return np.where(lost, np.nan, values / np.where(weights == 0, 1, weights))


def _resample(single: Values, size: tuple[int, int], interpolation: str) -> Values:
    image = Image.fromarray(np.ascontiguousarray(single, np.float32))
    return np.asarray(image.resize(size, _RESAMPLING[interpolation]))
