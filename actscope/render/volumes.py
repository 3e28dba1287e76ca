"""Draws the slices of a volume: one tile for each z."""

from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.draw import Paint, colour_map
from actscope.render.heat import choose
from actscope.render.layout import MOST_TILES, arrange
from actscope.render.scale import scale_for
from actscope.render.sheets import default_colours, draw_sheet
from actscope.render.subject import Layer, Subject, take_sample
from actscope.render.surface import surface_of


def volume(  # noqa: PLR0913
    layer: Layer,
    sample: int | str = 0,
    *,
    channel: int | None = None,
    merge: str = "mean",
    scale: str = "auto",
    cmap: str | Colormap | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the slices of one sample's volume along z, each a tile numbered by its z.

    All slices share one range of colours. NaN and infinities are marked and counted.

    Args:
        layer: a recorded layer of axes `(sample, z, y, x, channel)`, as three-dimensional
            convolutions have, in any order of the channels; or an array with the channels last.
        sample: its position, negative from the end, or its id.
        channel: draw this one, whatever `merge` says; negative from the end.
        merge: what is drawn of the channels: their `"mean"`, their `"max"` or their `"l2"` norm
            (the root of the sum of squares).
        scale: `"shared"` is one range of colours from the least to the greatest value;
            `"symmetric"` is centred on zero; `"auto"` is symmetric where there are clearly values
            on both sides of zero, else shared.
        cmap: a colour map of matplotlib; by default RdBu_r where symmetric, else viridis.
        columns: tiles in a row; by default such that the picture is nearly square.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, channel, merging, scale or colour map, the layer has
            other axes, or more than 256 slices.
    """
    surface = surface_of(ax, figure)
    subject = take_sample(layer, sample)
    _check_axes(subject)
    if merge is None or scale == "channel":
        raise RenderError(
            f"merge={merge!r} and scale={scale!r} draw a volume's channels beside each other: "
            "use render.grid"
        )
    maps = arrange(subject.values, subject.axes)
    heat = choose(maps, merge, channel, subject.name, subject.quantity)
    chosen = scale_for(heat.maps, scale)
    paint = Paint(chosen, colour_map(cmap or default_colours(chosen)))
    labels = [f"z {position}" for position in range(len(heat.maps))]
    axes, canvas, sheet = draw_sheet(heat.maps, paint, labels, heat.label, columns, surface)
    height, width = heat.maps.shape[1:]
    words = f"{counted(len(labels), 'slice')} of {height}×{width}"
    words += f", {counted(len(maps.values), maps.noun)}"
    draw.draw_heading(axes, canvas, subject, words, lift=sheet.lift)
    return canvas.whole


def _check_axes(subject: Subject) -> None:
    name = repr(subject.name or "the array")
    if subject.values.ndim != 4 or "query" in subject.axes:
        raise RenderError(
            f"a volume has the axes (z, y, x, channel), but {name} has "
            f"({', '.join(subject.axes)}) of shape {subject.values.shape}: use render.grid"
        )
    slices = arrange(subject.values, subject.axes).slices
    if slices > MOST_TILES:
        raise RenderError(
            f"{name} has {slices} slices, and one picture has room for {MOST_TILES}: "
            "draw a part of it, such as render.volume(layer[:, :256])"
        )
