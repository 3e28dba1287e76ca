"""Draws the sample of a layer that differs most between two recordings: a, b and b - a."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actscope.comparing.result import WorstElement
from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.canvas import RESOLUTION
from actscope.render.draw import Paint
from actscope.render.labels import plain_title
from actscope.render.layout import arrange
from actscope.render.scale import Scale, apart, not_finite, scale_for
from actscope.render.sheets import default_colours
from actscope.render.subject import Subject, Values, take_sample
from actscope.store.reader import RecordedTensor

_SIZE = (8.4, 2.9)
_MARK_COLOUR = "#ff7f0e"
_COLOURS = ("#2f6690", "#b5432f", "0.2")
_TITLE_LETTERS = 30


def worst(a: RecordedTensor, b: RecordedTensor, element: WorstElement) -> Figure:
    """Draw the sample with the worst element: the first recording, the second, and b - a.

    Layers with two or more axes are drawn as the map of the worst element's channel, all others
    as curves over their elements. The element is marked. The first two share a scale; the
    difference has its own, around zero.

    Args:
        a: the layer in the first recording.
        b: the layer in the second one.
        element: the `worst` of the layer's difference.

    Raises:
        RenderError: the shapes differ, or there is no such sample.
    """
    first, second = take_sample(a, element.sample), take_sample(b, element.sample_b)
    if first.values.shape != second.values.shape:
        raise RenderError(
            f"{first.name!r} has samples of {first.values.shape} and {second.values.shape}: only "
            "equal shapes can be drawn side by side"
        )
    figure = Figure(figsize=_SIZE, dpi=RESOLUTION, layout="constrained")
    panels = list(figure.subplots(1, 3))
    for axes, word in zip(panels, ("a", "b", "b − a"), strict=True):
        plain_title(axes, f"{word} · {first.name} · sample {element.sample}", _TITLE_LETTERS)
    maps = [_map_of(subject, element.position) for subject in (first, second)]
    if min(maps[0][0].shape) > 1:
        _draw_maps(panels, [shown for shown, _ in maps], maps[0][1])
    else:
        _draw_curves(panels, [first.values.ravel(), second.values.ravel()], first, element)
    return figure


def _map_of(subject: Subject, position: tuple[int, ...]) -> tuple[Values, tuple[int, int]]:
    """The map `(height, width)` that holds the element, and where in it."""
    maps = arrange(subject.values, subject.axes).values
    marked = np.zeros(subject.values.shape, np.float32)
    marked[position] = 1
    element = int(np.argmax(arrange(marked, subject.axes).values))
    channel, part, row, column = np.unravel_index(element, maps.shape)
    return maps[channel, part], (int(row), int(column))


def _draw_maps(panels: Sequence[Axes], maps: Sequence[Values], at: tuple[int, int]) -> None:
    difference = apart(maps[0], maps[1])
    scale = scale_for(np.stack(maps))
    paint = Paint(scale, draw.colour_map(default_colours(scale)))
    reach = scale_for(difference, "symmetric")
    for axes, shown, painted in zip(
        panels, (*maps, difference), (paint, paint, _around_zero(reach)), strict=True
    ):
        image = draw.draw_image(axes, shown, painted)
        draw.draw_marks(axes, not_finite(shown))
        axes.plot(at[1], at[0], "s", mfc="none", mec=_MARK_COLOUR, ms=9, mew=1.2)
        axes.set(xticks=[], yticks=[])
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.tick_params(labelsize=6.5)


def _around_zero(scale: Scale) -> Paint:
    return Paint(scale, draw.colour_map("RdBu_r"))


def _draw_curves(
    panels: Sequence[Axes], sides: Sequence[Values], subject: Subject, element: WorstElement
) -> None:
    shape = subject.values.shape
    at = int(np.ravel_multi_index(element.position, shape)) if shape else 0
    curves = (*sides, apart(sides[0], sides[1]))
    for axes, shown, colour in zip(panels, curves, _COLOURS, strict=True):
        axes.plot(shown, ".-", color=colour, linewidth=0.8, markersize=3)
        axes.axvline(at, color=_MARK_COLOUR, linewidth=0.8)
        draw.plain_axes(axes, "element", "")
    low = min(axes.get_ylim()[0] for axes in panels[:2])
    high = max(axes.get_ylim()[1] for axes in panels[:2])
    for axes in panels[:2]:
        axes.set_ylim(low, high)
