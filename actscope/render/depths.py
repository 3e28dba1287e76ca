"""Draws what becomes of the values on their way through a model, layer after layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import PercentFormatter

from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import prepare
from actscope.render.labels import NAME_SIZE, name_ticks
from actscope.render.summary import Summary, summaries_of
from actscope.render.surface import surface_of
from actscope.render.ticks import powers_as_ticks
from actscope.render.words import shorten, wrapped
from actscope.store.reader import Recording

_HEIGHT = 4.4
_WIDTHS = (5.6, 26.0)
_INCHES_PER_LAYER = 0.17
_BESIDE = (0.8, 1.9)
_MOST_NAMED = 150
_PANELS = (3, 2)
_FAR_APART = 100.0
_MANY_ZEROS = 0.995

_VALUE_COLOUR = "#2f6690"
_SHARES = (
    ("zeros", "zeros", "0.35", "o"),
    ("dead", "dead channels", "#b5432f", "s"),
    ("saturation", "saturation", "#d69a2d", "^"),
)


def statistics(
    recording: Recording,
    *,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw what becomes of the values through the depth of a model: where it dies or explodes.

    The layers run to the right in the order of execution. Above are the mean of each layer, the
    standard deviation around it, and the least and the greatest value; logarithmic beyond the
    median of the standard deviations where a value is a hundred times that. Layers with NaN or
    infinities are marked. Below are shares: of exact zeros; of dead channels, which have one and
    the same value for all samples and positions; and saturation, for layers that are bounded as
    those with sigmoid, tanh or softmax: how near to the bounds their values are, 100 % where no
    gradient passes. The first layer with NaN or infinities and the first that is dead are named.

    Args:
        recording: an open recording.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: the recording has no layers.
    """
    surface = surface_of(ax, figure)
    found = summaries_of(recording)
    width = min(max(_WIDTHS[0], _INCHES_PER_LAYER * len(found)), _WIDTHS[1])
    canvas = prepare((width, _HEIGHT), surface, _BESIDE)
    panels = canvas.figure.add_gridspec(2, 1, height_ratios=_PANELS)
    above = canvas.figure.add_subplot(panels[0])
    below = canvas.figure.add_subplot(panels[1], sharex=above)
    _draw_values(above, found)
    _draw_shares(below, found)
    named = range(0, len(found), -(-len(found) // _MOST_NAMED))
    name_ticks(below, "x", named, [found[place].name for place in named])
    below.set_xlim(-0.7, len(found) - 0.3)
    letters = canvas.detail_letters
    layers = f"{counted(len(found), 'layer')} over {counted(recording.samples, 'sample')}"
    lines = wrapped([shorten(part, letters) for part in [layers, *troubles(found)]], letters)
    draw.draw_words(above, canvas, shorten(recording.path.name, canvas.title_letters), lines)
    return canvas.whole


def troubles(found: Sequence[Summary]) -> list[str]:
    """What is wrong, in words: the first layer of each kind of trouble. Pure."""
    lost = [layer.name for layer in found if layer.not_finite]
    dead = [layer.name for layer in found if layer.dead == 1 or layer.zeros > _MANY_ZEROS]
    kinds = (("NaN or infinities", lost), ("dead", dead))
    return [
        f"{kind} in {counted(len(names), 'layer')}, the first {names[0]}"
        for kind, names in kinds
        if names
    ]


def _column(found: Sequence[Summary], name: str) -> npt.NDArray[np.float64]:
    return np.array([getattr(layer, name) for layer in found], np.float64)


def _draw_values(axes: Axes, found: Sequence[Summary]) -> None:
    places = np.arange(len(found))
    mean, spread = _column(found, "mean"), _column(found, "spread")
    low, high = _column(found, "minimum"), _column(found, "maximum")
    threshold = linear_below(spread, np.fmax(np.abs(low), np.abs(high)))
    if threshold:
        axes.set_yscale("symlog", linthresh=threshold, linscale=1.0)
        powers_as_ticks(axes.yaxis, *_least_and_greatest(low, high), threshold)
    style: dict[str, Any] = {"color": _VALUE_COLOUR, "zorder": 2}
    axes.vlines(places, low, high, linewidth=0.8, alpha=0.45, label="range", **style)
    axes.vlines(
        places, mean - spread, mean + spread, linewidth=3.5, alpha=0.45, label="± 1 sd", **style
    )
    axes.plot(places, mean, "o-", linewidth=0.8, markersize=3, label="mean", **style)
    axes.axhline(0, color="0.75", linewidth=0.6, zorder=0)
    lost = np.flatnonzero(_column(found, "not_finite"))
    if lost.size:
        axes.plot(
            lost,
            np.zeros(lost.size),
            "x",
            color=draw.NOT_FINITE_COLOUR,
            markersize=5,
            zorder=3,
            label="NaN or inf",
        )
    draw.plain_axes(axes, "", "value")
    axes.tick_params("x", labelbottom=False)
    _draw_legend(axes)


def _least_and_greatest(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[float, float]:
    return float(np.nanmin(low)), float(np.nanmax(high))


def linear_below(spread: npt.NDArray[np.float64], reach: npt.NDArray[np.float64]) -> float | None:
    """Where a logarithmic axis begins, or None where a linear one shows as much. Pure.

    It does where the layers are much alike but for a few of small values, such as a softmax at the
    end: these are small on both axes.
    """
    wide = spread[spread > 0]
    if wide.size == 0:
        return None
    threshold = float(np.median(wide))
    return threshold if np.nanmax(reach) >= _FAR_APART * threshold else None


def _draw_shares(axes: Axes, found: Sequence[Summary]) -> None:
    places = np.arange(len(found))
    for name, label, colour, marker in _SHARES:
        shares = _column(found, name)
        if not np.isnan(shares).all():
            axes.plot(
                places,
                shares,
                f"{marker}-",
                color=colour,
                linewidth=0.8,
                markersize=3,
                clip_on=False,
                label=label,
            )
    draw.plain_axes(axes, "", "share")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    _draw_legend(axes)


def _draw_legend(axes: Axes) -> None:
    """A legend above the panel, where it hides nothing."""
    axes.legend(
        fontsize=NAME_SIZE,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1.03),
        borderaxespad=0.1,
        ncols=4,
        handlelength=1.2,
        columnspacing=1.2,
    )
