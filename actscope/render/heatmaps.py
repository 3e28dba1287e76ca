"""Draws a layer's activation over the input that caused it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.cam import check_method, class_activation, objective_of, slopes_of
from actscope.render.canvas import BESIDE_STEPS, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.heat import Heat, choose, resized, square_tokens
from actscope.render.layout import Maps, arrange, mosaic, near_square
from actscope.render.pictures import as_picture, find_input, shrunk
from actscope.render.scale import Scale, finite_range, not_finite, scale_for
from actscope.render.sheets import default_colours, draw_tiles, plan_sheet
from actscope.render.subject import Layer, Subject, Values, take_sample
from actscope.render.surface import Surface, surface_of

_LONGEST_SIDE = 2048
_SERIES_ASPECT = 2.0
_SERIES_TILES = 20
_ROOM_AROUND_SERIES = 0.05


@dataclass(frozen=True)
class _Overlay:
    """What heat is laid over an input, and how."""

    heat: Heat
    alpha: float
    cmap: str | Colormap | None
    interpolation: str
    scale: str | Scale
    surface: Surface | None

    @property
    def paint(self) -> Paint:
        scale = scale_for(self.heat.maps, self.scale)
        colours = draw.colour_map(self.cmap or default_colours(scale, "inferno"))
        return Paint(scale, colours, self.alpha)


def heatmap(  # noqa: PLR0913
    layer: Layer,
    sample: int | str = 0,
    *,
    input: npt.ArrayLike | None = None,  # noqa: A002
    merge: str | None = "mean",
    channel: int | None = None,
    alpha: float = 0.5,
    cmap: str | Colormap | None = None,
    interpolation: str = "bilinear",
    scale: str | Scale = "auto",
    method: str = "activation",
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the activation for one sample over that sample's input.

    Feature maps are stretched over the whole image, as if the layer had kept its borders. Tokens
    that form a square, with or without a class token before them, are laid over an image as a
    square; over a series they are a strip behind the curves, stretched to its length. NaN and
    infinities are marked, counted, and left out of the interpolation.

    Args:
        layer: a recorded layer, or an array with the samples first and the channels last.
        sample: its position, negative from the end, or its id.
        input: the input of this one sample: an image `(height, width)`,
            `(height, width, 1, 3 or 4)` or `(1 or 3, height, width)`, or for tokens and steps also
            a series `(steps,)` or `(steps, features)`; by default the first stored input that is
            an image, else the first stored one. It is stretched to the range of the display.
        merge: what is drawn of the channels: their `"mean"`, their `"max"`, their `"l2"` norm
            (the root of the sum of squares), or, with None, each beside the others.
        channel: draw only this one, whatever `merge` says; negative from the end.
        alpha: opacity of the activation, from 0 to 1.
        cmap: a colour map of matplotlib; by default inferno, or RdBu_r around zero where there are
            clearly values on both sides.
        interpolation: `"bilinear"` or `"nearest"`, from the size of the maps to that of the input.
        scale: `"shared"` is one range of colours from the least to the greatest value;
            `"symmetric"` is centred on zero; `"auto"` is symmetric where there are clearly values
            on both sides of zero, else shared. A `Scale` is taken as it is.
        method: `"activation"`, or with the layer's recorded gradient `"grad-cam"`,
            `"grad-cam++"` or `"hirescam"`: what of the activation counts for the objective, such
            as the predicted class; all channels together, so that nothing is left to merge.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, channel or method, no input, an input that is no
            image, no recorded gradient where the method needs it, or the layer has no axes along
            those of the input.
    """
    surface = surface_of(ax, figure)
    if not 0 <= alpha <= 1:
        raise RenderError(f"alpha must be from 0 to 1, got {alpha!r}")
    if scale == "channel":
        raise RenderError("a heat map has no scale 'channel': use shared, symmetric or auto")
    check_method(method, merge, channel)
    subject = take_sample(layer, sample)
    maps = arrange(subject.values, subject.axes)
    _check_axes(maps, subject)
    slopes = slopes_of(layer, subject, method)
    given = find_input(layer, subject, input)
    dropped = False
    over_series = not maps.row_axis and given.ndim in (1, 2)
    if not (maps.row_axis or over_series):
        maps, dropped = square_tokens(maps)
        slopes = slopes and square_tokens(slopes)[0]
    if slopes is None:
        heat = choose(maps, merge, channel, subject.name, subject.quantity)
    else:
        heat = class_activation(maps, slopes, method, objective_of(layer))
    overlay = _Overlay(heat, alpha, cmap, interpolation, scale, surface)
    if over_series:
        return _draw_over_series(subject, given, overlay, maps.noun)
    return _draw_over_image(subject, as_picture(given), overlay, dropped=dropped)


def _check_axes(maps: Maps, subject: Subject) -> None:
    if not maps.column_axis:
        raise RenderError(
            f"{subject.name or 'the array'!r} has no axes along those of an input: its axes are "
            f"({', '.join(subject.axes)}), use render.vector or render.grid"
        )
    if maps.slices > 1 or (maps.row_axis and maps.noun == "head"):
        raise RenderError(
            f"{subject.name or 'the array'!r} cannot be laid over an image: its axes are "
            f"({', '.join(subject.axes)}), use render.grid"
        )


def _draw_over_image(
    subject: Subject, picture: Values, overlay: _Overlay, *, dropped: bool
) -> Figure:
    heat = overlay.heat
    columns = near_square(len(heat.maps), *picture.shape[:2])
    picture = shrunk(picture, _LONGEST_SIDE // columns)
    sheet = plan_sheet((len(heat.maps), *picture.shape[:2]), columns, overlay.surface)
    canvas, paint = prepare(sheet.size, overlay.surface), overlay.paint
    axes = canvas.bare_axes()
    pictures = np.broadcast_to(picture, (len(heat.maps), *picture.shape))
    placed = mosaic(pictures, columns, sheet.gaps, fill=0)
    draw.draw_picture(axes, placed.image, canvas.interpolation(placed.image.shape))
    tiles = resized(heat.maps, picture.shape[:2], overlay.interpolation)
    draw_tiles(axes, canvas, sheet, tiles, paint, heat.numbers)
    draw.draw_colour_bar(axes, canvas, paint, heat.label)
    notes = ("class token left out" if dropped else "", _opacity_words(overlay.alpha))
    draw.draw_heading(axes, canvas, subject, heat.words, notes, sheet.lift)
    return canvas.whole


def _draw_over_series(subject: Subject, series: Values, overlay: _Overlay, noun: str) -> Figure:
    curves, heat = series.reshape(len(series), -1), overlay.heat
    strips = resized(heat.maps, (1, len(curves)), overlay.interpolation)[:, 0]
    low, high = finite_range(curves)
    around = _ROOM_AROUND_SERIES * (high - low) or 0.5
    extent = (-0.5, len(curves) - 0.5, low - around, high + around)
    size = picture_size(_SERIES_ASPECT, _SERIES_TILES, overlay.surface)
    canvas, paint = prepare(size, overlay.surface, BESIDE_STEPS), overlay.paint
    axes = canvas.axes()
    draw.draw_image(axes, strips, paint, canvas.interpolation(strips.shape), extent)
    draw.draw_marks(axes, not_finite(strips), extent)
    draw.draw_curves(axes, curves)
    draw.plain_axes(axes, "step of the input", "input")
    draw.draw_colour_bar(axes, canvas, paint, heat.label)
    order = f"one strip for each {noun}, the first at the top" if len(strips) > 1 else ""
    notes = (order, _opacity_words(overlay.alpha))
    draw.draw_heading(axes, canvas, subject, heat.words, notes)
    return canvas.whole


def _opacity_words(alpha: float) -> str:
    """What has to be said where colours are mixed with those of what is below."""
    return f"{alpha:.0%} opaque" if alpha < 1 else ""
