"""Draws which tokens attend to which: a matrix of queries and keys for each head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.canvas import BESIDE_STEPS, prepare
from actscope.render.draw import Paint
from actscope.render.heat import Heat, choose
from actscope.render.labels import name_ticks
from actscope.render.layout import arrange
from actscope.render.scale import Scale, scale_for
from actscope.render.sheets import Sheet, default_colours, draw_tiles, plan_sheet
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.surface import Surface, surface_of
from actscope.render.words import shorten
from actscope.store.reader import RecordedTensor

_INCHES_PER_TOKEN = 0.12
_TIGHTEST_INCHES = 0.095
_INCHES_PER_LETTER = 0.065
_TOKEN_LETTERS = 16
_LEAST_INCHES = 4.5
_AXES = ("query", "key")
_NO_TOKENS = ("mask", "segment", "position")


def attention(  # noqa: PLR0913
    layer: Layer,
    sample: int | str = 0,
    *,
    head: int | None = None,
    merge: str | None = None,
    tokens: Sequence[str] | None = None,
    cmap: str | Colormap | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the attention of one sample: queries down, keys to the right, a tile for each head.

    The colours begin at 0, unless there are negative values. NaN and infinities are marked and
    counted.

    Args:
        layer: a recorded layer of axes `(sample, head, query, key)` or `(sample, query, key)`, or
            an array of such axes.
        sample: its position, negative from the end, or its id.
        head: draw only this one, large, with labelled axes; negative from the end.
        merge: draw the `"mean"`, the `"max"` or the `"l2"` norm over the heads, large; by default
            each head is drawn beside the others, the strongest where there are more than 256.
        tokens: the sample's tokens as texts; by default the numbers of its tokens, where the
            recording holds them as an input. They stand along each axis that has as many
            positions: every so many of them along a single map; along the tiles of several heads
            all of them, or none where there is no room.
        cmap: a colour map of matplotlib; by default viridis, or RdBu_r around zero where there are
            clearly values on both sides.
        columns: tiles in a row; by default such that the picture is nearly square.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, head, merging or colour map, the layer has other
            axes, or the number of tokens is neither that of the queries nor that of the keys.
    """
    surface = surface_of(ax, figure)
    subject = _as_attention(take_sample(layer, sample), layer)
    maps = arrange(subject.values, subject.axes)
    heat = choose(maps, merge, head, subject.name, subject.quantity)
    if tokens is None:
        tokens = token_numbers(layer, subject.position, heat.maps.shape[1:])
    texts = _texts(tokens, heat, subject)
    scale = _from_zero(scale_for(heat.maps))
    paint = Paint(scale, draw.colour_map(cmap or default_colours(scale)))
    return _draw(subject, heat, texts, paint, columns, surface)


def _as_attention(subject: Subject, layer: Layer) -> Subject:
    """The subject with the axes of an attention; those of an array are taken for them."""
    rank = subject.values.ndim
    if subject.quantity == "activation":
        subject = replace(subject, quantity="attention")
    if not isinstance(layer, RecordedTensor) and rank in (2, 3):
        return replace(subject, axes=("head", *_AXES)[-rank:])
    if subject.axes[-2:] != _AXES or rank > 3:
        raise RenderError(
            f"attention has the axes (head, query, key), but {subject.name or 'the array'!r} has "
            f"({', '.join(subject.axes)}) of shape {subject.values.shape}: use render.grid, or "
            "give the array, render.attention(layer[:]), if these are its axes all the same"
        )
    return subject


def _from_zero(scale: Scale) -> Scale:
    """Weights are shares of a whole: they are compared from 0 on."""
    return replace(scale, low=0.0) if scale.low > 0 and not scale.diverging else scale


def token_numbers(layer: Layer, position: int, lengths: Sequence[int]) -> list[str] | None:
    """The numbers of a sample's tokens from the first stored input that looks like them, or None.

    That is one of whole numbers from 0 on, as many as there are queries or keys, and no mask.
    """
    inputs = layer.recording.inputs if isinstance(layer, RecordedTensor) else ()
    for tensor in inputs:
        named_otherwise = any(word in tensor.name.lower() for word in _NO_TOKENS)
        if tensor.ndim != 2 or tensor.shape[1] not in lengths or named_otherwise:
            continue
        numbers = np.asarray(tensor[position], np.float64)
        if (numbers >= 0).all() and (numbers == np.floor(numbers)).all():
            return [f"{number:.0f}" for number in numbers]
    return None


def _texts(
    tokens: Sequence[str] | None, heat: Heat, subject: Subject
) -> tuple[list[str], list[str]]:
    """The texts along the queries and along the keys, empty where there are none."""
    if tokens is None:
        return [], []
    texts = [shorten(str(token), _TOKEN_LETTERS) for token in tokens]
    queries, keys = heat.maps.shape[1:]
    if len(texts) not in (queries, keys):
        raise RenderError(
            f"{len(texts)} tokens were given, but {subject.name or 'the array'!r} has {queries} "
            f"queries and {keys} keys"
        )
    return texts if len(texts) == queries else [], texts if len(texts) == keys else []


def _draw(
    subject: Subject,
    heat: Heat,
    texts: tuple[list[str], list[str]],
    paint: Paint,
    columns: int | None,
    surface: Surface | None,
) -> Figure:
    single = len(heat.maps) == 1
    wanted = _INCHES_PER_TOKEN * max(map(len, texts))
    sheet = plan_sheet(
        heat.maps.shape, columns, surface, max(wanted, _LEAST_INCHES) if single else wanted
    )
    down, right = token_ticks(heat.maps.shape, sheet)
    queries, keys = _in_room(texts[0], down, single), _in_room(texts[1], right, single)
    canvas = prepare(sheet.size, surface, _beside(queries, keys))
    axes = canvas.map_axes()
    draw_tiles(axes, canvas, sheet, heat.maps, paint, heat.numbers)
    if single:
        draw.whole_ticks(axes)
    draw.plain_axes(axes, "key", "query")
    _name(axes, "y", queries)
    _name(axes, "x", keys)
    draw.draw_colour_bar(axes, canvas, paint, heat.label)
    draw.draw_heading(axes, canvas, subject, heat.words, "", sheet.lift)
    return canvas.whole


@dataclass(frozen=True)
class Ticks:
    """Where the tokens of all tiles stand along one axis of a mosaic.

    Attributes:
        positions: in pixels of the mosaic, for each tile the positions of its tokens.
        inches: from one token to the next.
    """

    positions: list[range]
    inches: float


def token_ticks(shape: tuple[int, ...], sheet: Sheet) -> tuple[Ticks, Ticks]:
    """The tokens down the left side and along the lower edge of tiles `(count, height, width)`.

    Along the lower edge only those columns are named that reach down to it.
    """
    count, height, width = shape
    rows = -(-count // sheet.columns)
    tall, wide = height + sheet.gaps[0], width + sheet.gaps[1]
    down = [range(row * tall, row * tall + height) for row in range(rows)]
    lowest = range(count - (rows - 1) * sheet.columns)
    right = [range(column * wide, column * wide + width) for column in lowest]
    return (
        Ticks(down, sheet.size[1] / (rows * tall)),
        Ticks(right, sheet.size[0] / (sheet.columns * wide)),
    )


def _in_room(texts: list[str], ticks: Ticks, single: bool) -> dict[int, str]:
    """The texts by their positions: of one map every so many, of several tiles all or none."""
    step = max(1, ceil(_TIGHTEST_INCHES / ticks.inches))
    if step > 1 and not single:
        return {}
    return {
        position: text
        for tile in ticks.positions
        for position, text in list(zip(tile, texts, strict=False))[::step]
    }


def _beside(queries: dict[int, str], keys: dict[int, str]) -> tuple[float, float]:
    """Inches beside and above the picture for the colour bar and the axes' texts."""
    left, below = (
        max((len(text) for text in texts.values()), default=0) * _INCHES_PER_LETTER
        for texts in (queries, keys)
    )
    return BESIDE_STEPS[0] + left, BESIDE_STEPS[1] + below


def _name(axes: Axes, axis: str, texts: dict[int, str]) -> None:
    if texts:
        name_ticks(axes, axis, list(texts), list(texts.values()))
