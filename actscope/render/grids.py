"""Draws all channels of a layer for one sample, in one picture."""

from dataclasses import replace

from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.render import draw
from actscope.render.canvas import BESIDE_STEPS, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.layout import Maps, arrange, strongest
from actscope.render.scale import Scale, not_finite, scale_for, share_of_range
from actscope.render.sheets import Sheet, default_colours, draw_tiles, plan_sheet
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.vectors import draw_vector
from actscope.render.words import maps_words

_NARROWEST_STEPS = 1.0
_TILES_IN_STEPS = 12


def grid(
    layer: Layer,
    sample: int | str = 0,
    *,
    scale: str = "auto",
    cmap: str | Colormap | None = None,
    columns: int | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw all channels of one sample as the tiles of one picture.

    Of more than 256 channels the 256 of the largest mean absolute value are drawn, in their
    order. Tokens or steps with channels become one image, with the steps to the right and the
    channels down; a layer of one value per channel is drawn as by `vector`. NaN and infinities
    are marked and counted.

    Args:
        layer: a recorded layer, whose axes' names tell channels or heads, height and width; or an
            array with the samples first and the channels last.
        sample: its position, negative from the end, or its id.
        scale: `"shared"` is one range of colours for all channels; `"channel"` goes from 0 to 1
            over each channel's own range; `"symmetric"` is centred on zero; `"auto"` is symmetric
            where there are clearly values on both sides of zero, else shared.
        cmap: a colour map of matplotlib; by default RdBu_r where symmetric, else viridis.
        columns: tiles in a row; by default such that the picture is nearly square.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, scale or colour map, or no value to draw.
    """
    subject = take_sample(layer, sample)
    whole = arrange(subject.values, subject.axes)
    shown = strongest(whole) if whole.row_axis else whole
    chosen = scale_for(shown.values, scale)
    if whole.values[0].size == 1:
        return draw_vector(subject, cmap, figure)
    paint = Paint(chosen, draw.colour_map(cmap or default_colours(chosen)))
    if chosen.kind == "channel":
        shown = replace(shown, values=share_of_range(shown.values))
    if whole.row_axis:
        sheet = plan_sheet(shown.tiles.shape, columns, figure)
        return _draw_maps(subject, shown, len(whole.values), paint, sheet, figure)
    return _draw_steps(subject, shown, paint, figure)


def _draw_maps(
    subject: Subject,
    shown: Maps,
    count: int,
    paint: Paint,
    sheet: Sheet,
    figure: Figure | SubFigure | None,
) -> Figure:
    canvas = prepare(sheet.size, figure)
    axes = canvas.map_axes()
    draw_tiles(axes, canvas, sheet, shown.tiles, paint, shown.labels)
    draw.draw_colour_bar(axes, canvas, paint, _bar_label(paint.scale, shown.noun, subject))
    note = _scale_words(paint.scale, shown.noun)
    draw.draw_heading(axes, canvas, subject, maps_words(shown, count), note, sheet.lift)
    return canvas.whole


def _draw_steps(
    subject: Subject, maps: Maps, paint: Paint, figure: Figure | SubFigure | None
) -> Figure:
    image = maps.values[:, 0, 0]
    channels, steps = image.shape
    aspect = max(steps / channels, _NARROWEST_STEPS)
    canvas = prepare(picture_size(aspect, _TILES_IN_STEPS, figure), figure, BESIDE_STEPS)
    axes = canvas.axes()
    draw.draw_image(axes, image, paint, canvas.interpolation(image.shape))
    draw.draw_marks(axes, not_finite(image))
    draw.plain_axes(axes, maps.column_axis, maps.noun)
    draw.whole_ticks(axes)
    draw.draw_colour_bar(axes, canvas, paint, _bar_label(paint.scale, maps.noun, subject))
    note = _scale_words(paint.scale, maps.noun)
    draw.draw_heading(axes, canvas, subject, maps_words(maps, channels), note)
    return canvas.whole


def _bar_label(scale: Scale, noun: str, subject: Subject) -> str:
    return f"share of each {noun}'s range" if scale.kind == "channel" else subject.quantity


def _scale_words(scale: Scale, noun: str) -> str:
    return f"each {noun} over its own range" if scale.kind == "channel" else ""
