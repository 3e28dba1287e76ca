"""Draws what a layer computed for one sample very small, as an overview needs it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from actscope.render import draw
from actscope.render.canvas import RESOLUTION
from actscope.render.draw import Paint, colour_map
from actscope.render.layout import Maps, arrange, gap_between, mosaic, near_square, strength
from actscope.render.pathway import PICTURE_HEIGHT
from actscope.render.pictures import as_picture, looks_like_image
from actscope.render.scale import not_finite, scale_for
from actscope.render.sheets import default_colours
from actscope.render.subject import Subject, Values

MOST_TILES = 4
"""Of the channels of a map so many are drawn, the strongest."""

MOST_VALUES = 10
"""Of an output's values so many are listed, the greatest."""

_TEXT_SIZE = 5.5
_INK = "0.25"
_BAR_COLOUR = "#8fb8d0"
_GREATEST_COLOUR = "#2f6690"
_NEGATIVE_COLOUR = "#b5432f"


def draw_miniature(axes: Axes, subject: Subject) -> None:
    """A few of the strongest maps of a sample, an image of its steps, or its values as a profile.

    Each miniature has a scale of its own.
    """
    maps = arrange(subject.values, subject.axes)
    if maps.values[0].size == 1:
        _draw_profile(axes, maps.values.ravel())
    elif maps.column_axis and not maps.row_axis:
        _draw_tiles(axes, maps.values[np.newaxis, :, 0, 0], "auto")
    else:
        tiles = strongest_tiles(maps)
        _draw_tiles(axes, tiles, "equal")


def strongest_tiles(maps: Maps) -> Values:
    """The strongest channels' maps, at most four, `(count, height, width)`, strongest first.

    Of a volume each channel is shown by its middle slice.
    """
    order = np.argsort(-strength(maps), kind="stable")[:MOST_TILES]
    return np.asarray(maps.values[order, maps.slices // 2])


def _draw_tiles(axes: Axes, tiles: Values, aspect: Literal["auto", "equal"]) -> None:
    count, height, width = tiles.shape
    gap = gap_between(height, width)
    columns = near_square(count, height, width)
    scale = scale_for(tiles)
    paint = Paint(scale, colour_map(default_colours(scale)))
    placed = mosaic(tiles, columns, (gap, gap))
    draw.draw_image(axes, placed.image, paint, _interpolation(placed.image))
    draw.draw_marks(axes, mosaic(not_finite(tiles), columns, (gap, gap), fill=False).image)
    if scale.diverging:
        draw.draw_frames(axes, placed)
    axes.set_aspect(aspect)


def _interpolation(image: Values) -> str:
    """Sharp pixels where there is room for them, else averages."""
    room = PICTURE_HEIGHT * RESOLUTION
    return "nearest" if max(image.shape[:2]) <= room else "antialiased"


def _draw_profile(axes: Axes, values: Values) -> None:
    """A filled curve with a step for each value, above and below zero."""
    heights = np.where(not_finite(values), 0, values)
    edges = np.arange(len(values) + 1) - 0.5
    for part, colour in (
        (heights.clip(min=0), _GREATEST_COLOUR),
        (heights.clip(max=0), _NEGATIVE_COLOUR),
    ):
        axes.stairs(part, edges, fill=True, color=colour, linewidth=0)
    axes.axhline(0, color=_INK, linewidth=0.4)
    draw.draw_crosses(axes, values)
    axes.set_xlim(edges[0], edges[-1])
    axes.margins(y=0.02)


def draw_input(axes: Axes, values: Values) -> None:
    """An input as a picture where it looks like one, else as curves over its first axis."""
    if looks_like_image(values.shape):
        picture = as_picture(values)
        draw.draw_picture(axes, picture, _interpolation(picture))
        axes.set_aspect("equal")
    else:
        series = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        draw.draw_curves(axes, series)


@dataclass(frozen=True)
class Listed:
    """The greatest values of an output.

    Attributes:
        numbers: which channels these are, in their order.
        values: theirs.
    """

    numbers: npt.NDArray[np.intp]
    values: Values


def greatest(values: Values) -> Listed:
    """At most ten of `(count,)` values: all, or the greatest; not finite ones come last."""
    finite = np.where(np.isfinite(values), values, -np.inf)
    kept = np.sort(np.argsort(-finite, kind="stable")[:MOST_VALUES])
    return Listed(kept, values[kept])


def draw_output(axes: Axes, values: Values) -> None:
    """Bars to the right with the channel's number before and the value behind each of them."""
    listed = greatest(values)
    places = np.arange(len(listed.numbers))
    lengths = np.where(not_finite(listed.values), 0, listed.values)
    colours = [_GREATEST_COLOUR if length == lengths.max() else _BAR_COLOUR for length in lengths]
    axes.barh(places, lengths, height=0.75, color=colours, linewidth=0)
    low, high = min(0.0, lengths.min()), max(0.0, lengths.max())
    reach = (high - low) or 1.0
    axes.axvline(0, color=_INK, linewidth=0.4)
    for place, (number, value, length) in enumerate(
        zip(listed.numbers, listed.values, lengths, strict=True)
    ):
        words: dict[str, Any] = {"va": "center", "fontsize": _TEXT_SIZE, "color": _INK}
        axes.text(low - 0.06 * reach, place, f"{number}", ha="right", **words)
        axes.text(max(0.0, length) + 0.04 * reach, place, f"{value:.3g}", ha="left", **words)
    axes.set(xlim=(low - 0.25 * reach, high + 0.42 * reach), ylim=(len(places) - 0.4, -0.6))
