"""Draws one value per channel: as bars, or as the pixels of one image where there are many."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import BESIDE_BARS, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.layout import arrange
from actscope.render.scale import Scale, scale_for
from actscope.render.sheets import default_colours, draw_sheet
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.surface import Surface, surface_of

MOST_BARS = 512
"""More values than that are drawn as a tile, unless bars are asked for."""

_BARS_ASPECT = 2.0


def vector(
    layer: Layer,
    sample: int | str = 0,
    *,
    cmap: str | Colormap | None = None,
    scale: Scale | None = None,
    tile: bool | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw one sample of a layer that has one value per channel.

    They are bars, coloured by their sign; or a tile, the pixels of one nearly square image, row by
    row from the top left. NaN and infinities are marked and counted.

    Args:
        layer: a recorded layer of axes `(sample, channel)`, or such an array; other axes may be
            there if they have length 1.
        sample: its position, negative from the end, or its id.
        cmap: a colour map of matplotlib, also for bars where given; by default viridis for the
            image, or RdBu_r around zero where there are values on both sides.
        scale: the values at the ends of the colours and of the axis, so that several pictures
            share them; by default those of the sample.
        tile: whether to draw a tile and not bars; by default of more than 512 values.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample or colour map, or there are several axes.
    """
    surface = surface_of(ax, figure)
    subject = take_sample(layer, sample)
    if max(subject.values.shape, default=1) != subject.values.size:
        raise RenderError(
            f"a vector has one axis, but {subject.name or 'the array'!r} has "
            f"({', '.join(subject.axes)}) of shape {subject.values.shape}: use render.grid"
        )
    return draw_vector(subject, cmap, surface, scale, tile)


def draw_vector(
    subject: Subject,
    cmap: str | Colormap | None,
    surface: Surface | None,
    scale: Scale | None = None,
    tile: bool | None = None,
) -> Figure:
    """Draw a sample of which at most one axis is longer than 1."""
    if tile or (tile is None and subject.values.size > MOST_BARS):
        return _draw_pixels(subject, cmap, surface, scale)
    return _draw_bars(subject, cmap, surface, scale)


def _noun(subject: Subject) -> str:
    """What the values are called: channels, or the one axis that is longer than 1."""
    maps = arrange(subject.values, subject.axes)
    if len(maps.values) == subject.values.size:
        return maps.noun
    return subject.axes[int(np.argmax(subject.values.shape))]


def _draw_bars(
    subject: Subject,
    cmap: str | Colormap | None,
    surface: Surface | None,
    scale: Scale | None,
) -> Figure:
    values, noun = subject.values.ravel(), _noun(subject)
    paint = None if cmap is None else Paint(scale or scale_for(values), draw.colour_map(cmap))
    canvas = prepare(picture_size(_BARS_ASPECT, values.size, surface), surface, BESIDE_BARS)
    axes = canvas.axes()
    draw.draw_bars(axes, values, paint)
    draw.draw_crosses(axes, values)
    if scale is not None:
        draw.span_bars(axes, scale)
    draw.plain_axes(axes, noun, subject.quantity)
    draw.draw_heading(axes, canvas, subject, counted(values.size, noun))
    return canvas.whole


def _draw_pixels(
    subject: Subject,
    cmap: str | Colormap | None,
    surface: Surface | None,
    given: Scale | None,
) -> Figure:
    tiles = subject.values.reshape(-1, 1, 1)
    scale = given or scale_for(tiles)
    paint = Paint(scale, draw.colour_map(cmap or default_colours(scale)))
    axes, canvas, sheet = draw_sheet(tiles, paint, (), subject.quantity, None, surface)
    words = f"{counted(len(tiles), _noun(subject))}, {sheet.columns} to a row"
    draw.draw_heading(axes, canvas, subject, words)
    return canvas.whole
