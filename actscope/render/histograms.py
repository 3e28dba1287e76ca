"""Draws how the values of a layer, or of all layers of a recording, are distributed."""

from collections.abc import Sequence
from math import log10

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.histogram import EDGES, ZERO_BIN
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import BESIDE_BARS, prepare
from actscope.render.labels import NAME_SIZE, name_ticks
from actscope.render.subject import Layer
from actscope.render.summary import Floats, Summary, stairs, summaries_of, summary_of
from actscope.render.surface import Surface, surface_of
from actscope.render.ticks import powers_as_ticks
from actscope.render.words import shorten, wrapped
from actscope.store.reader import RecordedLayer, Recording

_SIZE = (4.8, 2.6)
_RIDGE_WIDTH = 5.2
_BESIDE_RIDGES = (2.6, 0.9)
_INCHES_PER_RIDGE = (0.34, 0.13)
_COMFORTABLE = 30
_MOST_NAMED = 200
_RIDGE_HEIGHT = 0.92
_COLOUR = "#2f6690"


def histogram(
    layer: Layer | Recording,
    *,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the distribution of a layer's values, or of all layers of a recording.

    The axis of the values is logarithmic on both sides of zero, so that the height is the share of
    the values per octave. Zeros are left out of it and given in words, as are NaN and infinities.
    The layers of a recording are ridges below each other in the order of execution, each as high
    as the others.

    Args:
        layer: a recorded layer, an array with the samples first and the channels last, or an open
            recording.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: an array holds no real numbers, or the recording has no layers.
    """
    surface = surface_of(ax, figure)
    if isinstance(layer, Recording):
        return _draw_ridges(layer, summaries_of(layer), surface)
    return _draw_one(layer, summary_of(layer), surface)


def _draw_one(layer: Layer, found: Summary, surface: Surface | None) -> Figure:
    canvas = prepare(_SIZE, surface, BESIDE_BARS)
    axes = canvas.axes()
    shown, edges = stairs([found])
    axes.stairs(np.nan_to_num(shown[0]), edges, fill=True, color=_COLOUR, alpha=0.35)
    axes.stairs(shown[0], edges, color=_COLOUR, linewidth=1.0)
    _value_axis(axes, edges)
    axes.set_ylim(bottom=0)
    quantity = (
        "gradient" if isinstance(layer, RecordedLayer) and layer.is_gradient else "activation"
    )
    draw.plain_axes(axes, quantity, "share per octave")
    parts = [
        found.class_name,
        f"{counted(found.channels, 'channel')} of {counted(found.samples, 'sample')}",
        *_moments_words(found),
        _zeros_words(found),
        _not_finite_words(found),
    ]
    letters = canvas.detail_letters
    lines = wrapped([shorten(part, letters) for part in parts if part], letters)
    heading = shorten(found.name or "distribution", canvas.title_letters)
    draw.draw_words(axes, canvas, heading, lines)
    return canvas.whole


def _draw_ridges(recording: Recording, found: list[Summary], surface: Surface | None) -> Figure:
    roomy, tight = _INCHES_PER_RIDGE
    each = roomy if len(found) <= _COMFORTABLE else max(tight, roomy * _COMFORTABLE / len(found))
    canvas = prepare((_RIDGE_WIDTH, max(1.5, each * len(found))), surface, _BESIDE_RIDGES)
    axes = canvas.axes()
    densities, edges = stairs(found)
    for row, shown in enumerate(densities):
        highest = np.nanmax(shown, initial=0)
        line = row - shown * (_RIDGE_HEIGHT / highest if highest else 0)
        filled = np.where(np.isnan(line), row, line)
        axes.stairs(filled, edges, baseline=row, fill=True, color=_COLOUR, alpha=0.35)
        axes.stairs(line, edges, baseline=None, color=_COLOUR, linewidth=0.8)
        axes.axhline(row, color="0.8", linewidth=0.4, zorder=0)
    _value_axis(axes, edges)
    draw.plain_axes(axes, "value", "")
    axes.set_ylim(len(found) - 0.7, -1.1)
    named = range(0, len(found), -(-len(found) // _MOST_NAMED))
    name_ticks(axes, "y", named, [found[row].name for row in named])
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    for row in named:
        _note_beside(axes, row, found[row])
    lines = [f"{counted(len(found), 'layer')} of {counted(recording.samples, 'sample')}"]
    draw.draw_words(axes, canvas, shorten(recording.path.name, canvas.title_letters), lines)
    return canvas.whole


def _note_beside(axes: Axes, row: int, found: Summary) -> None:
    """What of a layer the ridge does not show, to its right."""
    strange = _not_finite_words(found)
    axes.annotate(
        ", ".join(filter(None, [strange, _zeros_words(found)])),
        (1, row),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=NAME_SIZE,
        color=draw.NOT_FINITE_COLOUR if strange else "0.35",
    )


def _moments_words(found: Summary) -> Sequence[str]:
    if np.isnan(found.mean):
        return ()
    return (
        f"mean {found.mean:.3g}",
        f"standard deviation {found.spread:.3g}",
        f"{found.minimum:.3g} to {found.maximum:.3g}",
    )


def _zeros_words(found: Summary) -> str:
    """Such as `"63.1 % zeros, 2.0 % within ±6e-08"`; empty where there are none of either."""
    near = found.histogram[ZERO_BIN] / max(1, found.histogram.sum()) * (1 - found.zeros)
    parts = [(found.zeros, "zeros"), (near, f"within ±{EDGES[ZERO_BIN + 1]:.0e}")]
    return ", ".join(f"{_percent(share)} {noun}" for share, noun in parts if share > 0)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _not_finite_words(found: Summary) -> str:
    return f"{found.not_finite:,} NaN or infinite" if found.not_finite else ""


def _value_axis(axes: Axes, edges: Floats) -> None:
    """A logarithmic axis on both sides of zero, with ticks at powers of ten."""
    nearest = float(np.abs(edges).min())
    axes.set_xscale("symlog", linthresh=nearest, linscale=log10(2) / 2)
    axes.set_xlim(edges[0], edges[-1])
    powers_as_ticks(axes.xaxis, edges[0], edges[-1], nearest)
