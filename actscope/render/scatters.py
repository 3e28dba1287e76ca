"""Draws the values of one layer in two recordings against each other."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import BESIDE_BARS, prepare
from actscope.render.labels import plain_title
from actscope.render.scale import finite_range
from actscope.render.subject import Layer, Values, as_numbers
from actscope.render.surface import surface_of
from actscope.store.reader import RecordedTensor

_SIDE = 3.4
_MOST_SAMPLES = 64
_MOST_POINTS = 20_000
_COLOUR = "#2f6690"
_ROOM_AROUND = 0.04


def scatter(
    a: Layer,
    b: Layer,
    *,
    name: str = "",
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw elements of one layer in two recordings as points, equal ones on the diagonal.

    At most 20,000 elements are drawn, spread evenly over those of at most 64 samples, which are
    spread evenly too.

    Args:
        a: the layer in the first recording, or an array with the samples first.
        b: the layer in the second one, of the same shape.
        name: what the layer is called; by default its own name.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: the shapes differ, or there is nothing finite on both sides.
    """
    surface = surface_of(ax, figure)
    name = name or str(getattr(a, "name", ""))
    first, second = thinned(a, b, name)
    canvas = prepare((_SIDE, _SIDE), surface, BESIDE_BARS)
    axes = canvas.axes()
    axes.set_box_aspect(1)
    low, high = finite_range(np.concatenate([first, second]))
    around = _ROOM_AROUND * (high - low) or 0.5
    limits = (low - around, high + around)
    axes.plot(limits, limits, color="0.6", linewidth=0.6, zorder=1)
    axes.scatter(first, second, s=3, color=_COLOUR, alpha=0.35, linewidths=0, rasterized=True)
    axes.set(xlim=limits, ylim=limits)
    draw.plain_axes(axes, f"a · {counted(len(first), 'element')}", "b")
    plain_title(axes, name, canvas.title_letters)
    return canvas.whole


def thinned(a: Layer, b: Layer, name: str = "") -> tuple[Values, Values]:
    """Evenly spread elements of both sides that are finite on both, flat.

    Raises:
        RenderError: the shapes differ, or no element is finite on both sides.
    """
    sides = [side if isinstance(side, RecordedTensor) else np.asarray(side) for side in (a, b)]
    if sides[0].shape != sides[1].shape:
        raise RenderError(
            f"{name or 'the layer'!r} has the shapes {sides[0].shape} and {sides[1].shape}: "
            "only equal ones can be drawn against each other"
        )
    step = max(1, -(-len(sides[0]) // _MOST_SAMPLES))
    first, second = (_flat(side[::step], name) for side in sides)
    finite = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    if finite.size == 0:
        raise RenderError(f"{name or 'the layer'!r} has no element that is finite on both sides")
    kept = finite[np.linspace(0, finite.size - 1, min(finite.size, _MOST_POINTS)).astype(int)]
    return first[kept], second[kept]


def _flat(values: npt.ArrayLike, name: str) -> Values:
    return as_numbers(values, name).ravel()
