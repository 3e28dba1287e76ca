"""Puts images, bars and words on axes: takes `Axes` and plain data, returns artists."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

from actscope.errors import RenderError, nearest
from actscope.render.canvas import Canvas
from actscope.render.layout import Mosaic
from actscope.render.letters import literal, outlines
from actscope.render.scale import Scale, not_finite
from actscope.render.subject import Subject, Values
from actscope.render.words import details, title

Extent = tuple[float, float, float, float]

NOT_FINITE_COLOUR = "#ff00ff"
"""Marks NaN and infinities; on none of the default colour maps."""

_POSITIVE_COLOUR = "#2f6690"
_NEGATIVE_COLOUR = "#b5432f"
_INK = "0.35"
_FRAME = "0.75"
_TITLE_SIZE = 11.0
_DETAIL_SIZE = 8.0
_TICK_SIZE = 7.0
_NUMBER_SIZE = 6.0
_NUMBER_LIFT = 1.5
_LINE_HEIGHT = 1.35
_POINTS_ABOVE = 5.0
_BAR_GAP = 0.1
_BAR_INCHES = 0.12
_MOST_TICKED_BARS = 32
_ROOM_AROUND_BARS = 0.05
_MOST_SEPARATE_BARS = 64


@dataclass(frozen=True)
class Paint:
    """How values become colours.

    Attributes:
        scale: the values at the ends of the colour map.
        colours: the colour map.
        alpha: opacity, from 0 to 1.
    """

    scale: Scale
    colours: Colormap
    alpha: float = 1.0

    @property
    def norm(self) -> Normalize:
        """Values to shares of the colour map."""
        return Normalize(self.scale.low, self.scale.high)


def colour_map(chosen: str | Colormap) -> Colormap:
    """A colour map by its name in matplotlib, or itself.

    Raises:
        RenderError: there is no such colour map.
    """
    if isinstance(chosen, Colormap):
        return chosen
    if chosen not in matplotlib.colormaps:
        raise RenderError(f"no colour map {chosen!r}: {nearest(str(chosen), matplotlib.colormaps)}")
    return matplotlib.colormaps[chosen]


def draw_image(
    axes: Axes,
    image: Values,
    paint: Paint,
    interpolation: str = "nearest",
    extent: Extent | None = None,
) -> AxesImage:
    """An image `(height, width)` in colours; what is not finite stays blank."""
    return axes.imshow(
        image,
        cmap=paint.colours.with_extremes(bad=(1, 1, 1, 0)),
        norm=paint.norm,
        alpha=paint.alpha,
        interpolation=interpolation,
        aspect="auto",
        origin="upper",
        extent=extent,
    )


def draw_picture(
    axes: Axes, picture: Values, interpolation: str, extent: Extent | None = None
) -> AxesImage:
    """An RGBA image `(height, width, 4)` from 0 to 1."""
    return axes.imshow(
        picture, interpolation=interpolation, aspect="auto", origin="upper", extent=extent
    )


def draw_marks(
    axes: Axes, marked: npt.NDArray[np.bool_], extent: Extent | None = None
) -> AxesImage | None:
    """The marked pixels of `(height, width)` in one colour; None where there are none."""
    if not marked.any():
        return None
    return axes.imshow(
        np.ma.masked_equal(marked.astype(np.uint8), 0),
        cmap=ListedColormap([NOT_FINITE_COLOUR]),
        interpolation="nearest",
        aspect="auto",
        origin="upper",
        extent=extent,
    )


def draw_frames(axes: Axes, mosaic: Mosaic) -> PolyCollection:
    """A thin line around each tile, for colour maps that fade into the paper."""
    corners = np.array([mosaic.corner(index)[::-1] for index in range(mosaic.count)]) - 0.5
    width, height = mosaic.tile_width, mosaic.tile_height
    outline = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    frames = PolyCollection(
        corners[:, np.newaxis] + outline,
        facecolors="none",
        edgecolors=_FRAME,
        linewidths=0.4,
        clip_on=False,
    )
    axes.add_collection(frames, autolim=False)
    return frames


def draw_numbers(axes: Axes, mosaic: Mosaic, labels: Sequence[str]) -> PathCollection:
    """A small label above the upper left corner of each tile."""
    corners = np.array([mosaic.corner(index)[::-1] for index in range(len(labels))]) - 0.5
    lifted = ScaledTranslation(0, _NUMBER_LIFT / 72, axes.figure.dpi_scale_trans)
    numbers = PathCollection(
        [outlines(label, _NUMBER_SIZE) for label in labels],
        offsets=corners,
        offset_transform=axes.transData + lifted,
        facecolors=_INK,
        linewidths=0,
        clip_on=False,
    )
    numbers.set_transform(Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans)
    numbers.set_in_layout(False)
    axes.add_collection(numbers, autolim=False)
    return numbers


def draw_colour_bar(axes: Axes, canvas: Canvas, paint: Paint, label: str) -> Colorbar:
    """A colour bar as high as the picture, to its right."""
    right_edge = ScaledTranslation(1, 0, axes.transAxes)  # type: ignore[arg-type]
    inches = axes.figure.dpi_scale_trans + right_edge
    beside = blended_transform_factory(inches, axes.transAxes)
    inset = axes.inset_axes((_BAR_GAP, 0, _BAR_INCHES, 1), transform=beside)
    bar = canvas.figure.colorbar(ScalarMappable(paint.norm, paint.colours), cax=inset)
    bar.outline.set_visible(False)
    inset.xaxis.set_visible(False)
    bar.set_label(label, size=_DETAIL_SIZE)
    inset.tick_params(labelsize=_TICK_SIZE, width=0.5, length=2.5)
    inset.yaxis.get_offset_text().set_fontsize(_TICK_SIZE)
    return bar


def draw_heading(
    axes: Axes,
    canvas: Canvas,
    subject: Subject,
    shape: str,
    note: str | tuple[str, ...] = "",
    lift: float = 0.0,
) -> tuple[Text, Text]:
    """What a picture of one sample says above it; `lift` as for `draw_words`."""
    lines = details(subject, shape, note, canvas.detail_letters)
    return draw_words(axes, canvas, title(subject, canvas.title_letters), lines, lift)


def draw_words(
    axes: Axes, canvas: Canvas, heading: str, lines: Sequence[str], lift: float = 0.0
) -> tuple[Text, Text]:
    """A title and smaller lines below it, drawn literally, `lift` points above the rest."""
    above = _POINTS_ABOVE + lift
    height = len(lines) * _DETAIL_SIZE * _LINE_HEIGHT
    canvas.grow((lift + height) / 72)
    larger = axes.set_title(
        heading,
        loc="left",
        y=1.0,  # told, it need not be looked for among the axes' ticks, which takes long
        pad=above + height,
        fontsize=_TITLE_SIZE,
    )
    smaller = axes.annotate(
        "\n".join(lines),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, above),
        textcoords="offset points",
        fontsize=_DETAIL_SIZE,
        color=_INK,
        linespacing=_LINE_HEIGHT,
        in_layout=False,
    )
    return literal(larger), literal(smaller)


def draw_bars(axes: Axes, values: Values, paint: Paint | None) -> PolyCollection:
    """One bar for each of `(count,)` values; those that are not finite get no height.

    Bars are coloured by their sign, or by their value where there is a paint. They are one artist:
    `Axes.bar` makes one of each bar, which takes several times as long.
    """
    heights = np.where(not_finite(values), 0, values)
    if paint is None:
        filled = np.where(heights < 0, _NEGATIVE_COLOUR, _POSITIVE_COLOUR).tolist()
    else:
        filled = paint.colours(paint.norm(heights))
    width = 0.8 if len(values) <= _MOST_SEPARATE_BARS else 1.0
    left, none = np.arange(len(values)) - width / 2, np.zeros(len(values))
    sides = [left, left, left + width, left + width], [none, heights, heights, none]
    corners = list(np.stack(sides).transpose(2, 1, 0))
    bars = PolyCollection(corners, facecolors=filled, linewidths=0)
    bars.sticky_edges.y.append(0)
    bars.set_in_layout(False)
    axes.add_collection(bars)
    axes.axhline(0, color=_INK, linewidth=0.6)
    axes.set_xlim(-0.7, len(values) - 0.3)
    if len(values) <= _MOST_TICKED_BARS:
        axes.set_xticks(np.arange(len(values)))
    return bars


def draw_crosses(axes: Axes, values: Values) -> PathCollection:
    """A cross at zero for each of `(count,)` values that is not finite."""
    positions = np.flatnonzero(not_finite(values))
    return axes.scatter(
        positions, np.zeros(len(positions)), marker="x", s=18, color=NOT_FINITE_COLOUR, zorder=3
    )


def span_bars(axes: Axes, scale: Scale) -> None:
    """Let the axis of bars reach from zero to both ends of a scale, so that several share it."""
    low, high = min(scale.low, 0.0), max(scale.high, 0.0)
    around = _ROOM_AROUND_BARS * (high - low)
    axes.set_ylim(low - around * (low < 0), high + around * (high > 0))


def draw_curves(axes: Axes, series: Values) -> list[Line2D]:
    """A thin line for each feature of `(steps, features)`, fainter where there are many."""
    alpha = max(0.2, series.shape[1] ** -0.5)
    return axes.plot(series, color="0.1", linewidth=0.9, alpha=alpha)


def plain_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Quiet axes for bars, curves and images with axes that mean something."""
    literal(axes.set_xlabel(x_label, size=_DETAIL_SIZE))
    literal(axes.set_ylabel(y_label, size=_DETAIL_SIZE))
    axes.tick_params(labelsize=_TICK_SIZE, width=0.5, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.5)


def whole_ticks(axes: Axes) -> None:
    """Ticks at whole numbers only, for axes that count."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
