"""Draws all channels of a layer for one sample, in one picture."""

from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.choice import Choice, choose_channels
from actscope.render.layout import arrange
from actscope.render.look import Look, bar_label, painted, scale_words
from actscope.render.one_channel import draw_channel
from actscope.render.scale import Scale
from actscope.render.sequences import draw_sequence
from actscope.render.several import Samples
from actscope.render.sheets import draw_sheet
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.surface import surface_of
from actscope.render.vectors import draw_vector

MOST_SAMPLES = 16
"""Of one channel so many samples are drawn where nothing else was asked for."""


def grid(  # noqa: PLR0913
    layer: Layer,
    sample: int | str = 0,
    *,
    channel: int | None = None,
    samples: Samples | None = None,
    sort: bool = False,
    page: int | None = None,
    scale: str | Scale = "auto",
    cmap: str | Colormap | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw all channels of one sample as the tiles of one picture, or one channel of many samples.

    Of more than 256 channels the 256 of the largest mean absolute value are drawn, in their
    order, or those of a `page`. Tokens or steps with channels become one image, as by `sequence`;
    a layer of one value per channel is drawn as by `vector`. NaN and infinities are marked and
    counted.

    Args:
        layer: a recorded layer, whose axes' names tell channels or heads, height and width; or an
            array with the samples first and the channels last.
        sample: its position, negative from the end, or its id.
        channel: draw only this one, of many samples instead of `sample`; negative from the end.
        samples: with `channel`: how many samples from the first one on, a slice, or a list of
            positions and ids; by default the first 16. At most 256.
        sort: whether the channel of the largest mean absolute value comes first.
        page: of more than 256 channels the first, second, ... 256, from 1.
        scale: `"shared"` is one range of colours for all tiles; `"channel"` goes from 0 to 1
            over each tile's own range; `"symmetric"` is centred on zero; `"auto"` is symmetric
            where there are clearly values on both sides of zero, else shared. A `Scale` is taken
            as it is.
        cmap: a colour map of matplotlib; by default RdBu_r where symmetric, else viridis.
        columns: tiles in a row; by default such that the picture is nearly square.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, channel, page, scale or colour map, no value to draw,
            or `sort` or `page` for what is not drawn as tiles.
    """
    surface = surface_of(ax, figure)
    look = Look(scale, cmap, columns, surface)
    if channel is not None:
        _refuse_order("one channel of many samples", sort=sort, page=page)
        return draw_channel(layer, channel, MOST_SAMPLES if samples is None else samples, look)
    if samples is not None:
        raise RenderError("samples= are drawn of one channel: name it with channel= (--channel)")
    subject = take_sample(layer, sample)
    maps = arrange(subject.values, subject.axes)
    if maps.row_axis and maps.values[0].size > 1:
        return _draw_maps(subject, choose_channels(maps, sort=sort, page=page), look)
    _refuse_order(
        f"{subject.name or 'the array'!r} with ({', '.join(subject.axes)})", sort=sort, page=page
    )
    if maps.values[0].size == 1:
        painted(maps, look)  # what was asked for wrongly is wrong for bars too
        given = scale if isinstance(scale, Scale) else None
        return draw_vector(subject, cmap, surface, given)
    return draw_sequence(subject, maps, look)


def _refuse_order(what: str, *, sort: bool, page: int | None) -> None:
    if sort or page not in (None, 1):
        word = "sort" if sort else "page"
        raise RenderError(f"{word}= is for the tiles of several channels, not for {what}")


def _draw_maps(subject: Subject, choice: Choice, look: Look) -> Figure:
    shown, paint = painted(choice.maps, look)
    label = bar_label(paint.scale, shown.noun, subject.quantity)
    axes, canvas, sheet = draw_sheet(
        shown.tiles, paint, shown.labels, label, look.columns, look.surface
    )
    notes = (*choice.note, scale_words(paint.scale, shown.noun))
    draw.draw_heading(axes, canvas, subject, choice.words, notes, sheet.lift)
    return canvas.whole
