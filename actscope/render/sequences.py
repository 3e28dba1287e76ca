"""Draws steps or tokens with their channels as one image."""

from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.canvas import BESIDE_STEPS, Canvas, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.layout import Maps, arrange
from actscope.render.look import Look, bar_label, painted, scale_words
from actscope.render.scale import not_finite
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.surface import Surface, surface_of
from actscope.render.words import maps_words

_NARROWEST = 1.0
_TILES = 12


def sequence(
    layer: Layer,
    sample: int | str = 0,
    *,
    scale: str = "auto",
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the channels of one sample over its steps or tokens, as one image.

    Steps run to the right, channels down, the first at the top left. NaN and infinities are
    marked and counted.

    Args:
        layer: a recorded layer of axes `(sample, token, channel)`, as recurrent layers that return
            sequences and transformers have, or such an array.
        sample: its position, negative from the end, or its id.
        scale: `"shared"` is one range of colours for all channels; `"channel"` goes from 0 to 1
            over each channel's own range; `"symmetric"` is centred on zero; `"auto"` is symmetric
            where there are clearly values on both sides of zero, else shared.
        cmap: a colour map of matplotlib; by default RdBu_r where symmetric, else viridis.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, scale or colour map, or the layer has other axes than
            one beside its channels.
    """
    surface = surface_of(ax, figure)
    subject = take_sample(layer, sample)
    maps = arrange(subject.values, subject.axes)
    if maps.row_axis or not maps.column_axis:
        raise RenderError(
            f"a sequence has steps and channels, but {subject.name or 'the array'!r} has "
            f"({', '.join(subject.axes)}) of shape {subject.values.shape}: use render.grid"
        )
    return draw_sequence(subject, maps, Look(scale, cmap, None, surface))


def draw_sequence(subject: Subject, maps: Maps, look: Look) -> Figure:
    """Draw maps of one row each, one below the other."""
    shown, paint = painted(maps, look)
    axes, canvas = draw_rows(shown, paint, subject.quantity, look.surface)
    note = scale_words(paint.scale, maps.noun)
    draw.draw_heading(axes, canvas, subject, maps_words(maps, len(maps.values)), note)
    return canvas.whole


def draw_rows(
    shown: Maps, paint: Paint, quantity: str, surface: Surface | None
) -> tuple[Axes, Canvas]:
    """An image of maps of one row each, with axes and a colour bar, and no heading yet."""
    image = shown.values[:, 0, 0]
    aspect = max(image.shape[1] / image.shape[0], _NARROWEST)
    canvas = prepare(picture_size(aspect, _TILES, surface), surface, BESIDE_STEPS)
    axes = canvas.axes()
    draw.draw_image(axes, image, paint, canvas.interpolation(image.shape))
    draw.draw_marks(axes, not_finite(image))
    draw.plain_axes(axes, shown.column_axis, shown.noun)
    draw.whole_ticks(axes)
    draw.draw_colour_bar(axes, canvas, paint, bar_label(paint.scale, shown.noun, quantity))
    return axes, canvas
