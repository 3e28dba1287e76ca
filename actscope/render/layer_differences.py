"""Draws how far two recordings part, layer after layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.comparing.result import Comparison, LayerDifference
from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import BESIDE_BARS, prepare
from actscope.render.labels import NAME_SIZE, name_ticks, plain_title
from actscope.render.letters import literal
from actscope.render.surface import surface_of
from actscope.render.words import shorten

_HEIGHT = 3.6
_WIDTHS = (5.6, 15.0)
_INCHES_PER_LAYER = 0.17
_ROOM_AROUND = 8
_LEAST = 1e-8
_MOST_NAMED = 80
_NAME_LETTERS = 36

_LARGEST_COLOUR = "#2f6690"
_RMS_COLOUR = "#8fb8d0"
_BEYOND_COLOUR = "#b5432f"
_ALLOWED_COLOUR = "0.35"


@dataclass(frozen=True)
class Course:
    """The differences through depth, ready to be drawn on a logarithmic scale.

    Attributes:
        largest: the largest scaled difference of each layer; NaN where it cannot be on the scale.
        rms: the root mean square of the differences relative to that of the values.
        tolerance: what rounding allows.
        equal: where both sides are equal, bit by bit.
        unmatched: where one side is NaN or infinite and the other is not.
        low: the lower end of the scale, below everything on it.
        high: the upper end.
    """

    largest: npt.NDArray[np.float64]
    rms: npt.NDArray[np.float64]
    tolerance: npt.NDArray[np.float64]
    equal: npt.NDArray[np.bool_]
    unmatched: npt.NDArray[np.bool_]
    low: float
    high: float


def course(layers: tuple[LayerDifference, ...]) -> Course:
    """The course of the differences. Pure: nothing is drawn."""
    scaled = np.array([layer.largest_scaled for layer in layers], np.float64)
    rms = np.array([layer.rms / layer.scale if layer.scale else 0.0 for layer in layers])
    tolerance = np.array([layer.tolerance for layer in layers], np.float64)
    known = np.concatenate([_on_scale(values) for values in (scaled, rms, tolerance)])
    known = known[~np.isnan(known)]
    return Course(
        largest=_on_scale(scaled),
        rms=_on_scale(rms),
        tolerance=_on_scale(tolerance),
        equal=scaled == 0,
        unmatched=np.isinf(scaled),
        low=float(known.min(initial=1.0)) / _ROOM_AROUND,
        high=float(known.max(initial=_LEAST)) * _ROOM_AROUND,
    )


def _on_scale(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def differences(
    comparison: Comparison,
    *,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the largest and the mean difference of each layer, and what rounding allows.

    The layers run to the right in the order of execution; differences are relative, on a
    logarithmic scale. Equal layers stand at the bottom, those with NaN or infinities on one side
    only at the top. The layer where the recordings part is named.

    Args:
        comparison: what `actscope.compare` found.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: no layers were compared.
    """
    surface = surface_of(ax, figure)
    layers = comparison.layers
    if not layers:
        raise RenderError("no layers were compared: there are no differences to draw")
    width = min(max(_WIDTHS[0], _INCHES_PER_LAYER * len(layers)), _WIDTHS[1])
    canvas = prepare((width, _HEIGHT), surface, BESIDE_BARS)
    axes, found = canvas.axes(), course(layers)
    _draw_course(axes, layers, found)
    _draw_parting(axes, comparison, found)
    _name_layers(axes, layers)
    samples = counted(comparison.samples, "sample")
    heading = f"{comparison.a.file} and {comparison.b.file} · {samples}"
    plain_title(axes, heading, canvas.title_letters)
    return canvas.whole


def _draw_course(axes: Axes, layers: tuple[LayerDifference, ...], found: Course) -> None:
    positions = np.arange(len(layers))
    axes.set_yscale("log")
    axes.set_ylim(found.low, found.high)
    style: dict[str, Any] = {"linewidth": 0.8, "markersize": 3.5, "clip_on": False}
    axes.plot(positions, found.tolerance, "--", color=_ALLOWED_COLOUR, lw=1, label="tolerance")
    axes.plot(positions, found.largest, "o-", color=_LARGEST_COLOUR, label="largest", **style)
    axes.plot(positions, found.rms, ".-", color=_RMS_COLOUR, label="root mean square", **style)
    beyond = np.array([not layer.within for layer in layers]) & ~found.unmatched
    for marked, height, marker, colour, label in (
        (beyond, found.largest, "o", _BEYOND_COLOUR, "beyond tolerance"),
        (found.equal, np.full(len(layers), found.low), "v", _LARGEST_COLOUR, "equal"),
        (
            found.unmatched,
            np.full(len(layers), found.high),
            "x",
            draw.NOT_FINITE_COLOUR,
            "NaN or infinite on one side",
        ),
    ):
        if marked.any():
            where = np.flatnonzero(marked)
            axes.plot(where, height[where], marker, color=colour, ms=5, clip_on=False, label=label)
    axes.set_xlim(-0.7, len(layers) - 0.3)
    draw.plain_axes(axes, "", "relative difference")
    axes.legend(fontsize=NAME_SIZE, frameon=False, loc="upper left", ncols=3)


def _draw_parting(axes: Axes, comparison: Comparison, found: Course) -> None:
    """A line down at the first diverging layer, with its name."""
    if comparison.first_diverging is None:
        return
    names = [layer.name for layer in comparison.layers]
    position = names.index(comparison.first_diverging)
    axes.axvline(position, color=_BEYOND_COLOUR, linewidth=0.8, linestyle=":")
    left = position > len(names) / 2
    words = axes.annotate(
        f"parts here: {shorten(comparison.first_diverging, _NAME_LETTERS)}",
        (position, found.low),
        xytext=(-4 if left else 4, 8),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=NAME_SIZE + 0.5,
        color=_BEYOND_COLOUR,
    )
    literal(words)


def _name_layers(axes: Axes, layers: tuple[LayerDifference, ...]) -> None:
    """Each layer's name below it, or every so many's where there are more than fit."""
    step = -(-len(layers) // _MOST_NAMED)
    shown = range(0, len(layers), step)
    name_ticks(axes, "x", shown, [layers[position].name for position in shown])
