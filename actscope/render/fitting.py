"""Fits pictures into their figure: as large as the words and colour bars around them allow."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine, LayoutEngine
from matplotlib.transforms import Bbox

_MARGIN = 3 / 72
_PASSES = 2

Inches = npt.NDArray[np.float64]


class FittedLayout(LayoutEngine):
    """Lays out figures, and subfigures, that have one axes each.

    matplotlib's constrained layout takes the room around axes from where they would be without
    their proportions, so that a colour bar beside a picture of given proportions may be cut off;
    figures with axes beside other axes or subfigures are left to it all the same. Panels of one
    size have the same room around their pictures, so that these are of one size too.
    """

    _adjust_compatible = False
    _colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Give the axes of `fig` their places."""
        parts = [part for part in _parts(fig) if _own_axes(part)]
        if any(len(_own_axes(part)) > 1 or part.subfigs for part in parts):
            ConstrainedLayoutEngine().execute(fig)
            return
        for _ in range(_PASSES):  # other ticks may fit into the room that the first one leaves
            around = [_around(part, _own_axes(part)[0]) for part in parts]
            for part in parts:
                alike = [
                    room
                    for other, room in zip(parts, around, strict=True)
                    if np.allclose(other.bbox.size, part.bbox.size)
                ]
                _place(part, _own_axes(part)[0], np.max(alike, axis=0))


def _parts(figure: Figure | SubFigure) -> Iterator[Figure | SubFigure]:
    yield figure
    for part in figure.subfigs:
        yield from _parts(part)


def _own_axes(part: Figure | SubFigure) -> Sequence[Axes]:
    return [axes for axes in part.axes if axes.figure is part]


def _around(part: Figure | SubFigure, axes: Axes) -> Inches:
    """The room that is taken to the left, below, to the right and above the axes, in inches."""
    axes.apply_aspect()
    outer = axes.get_tightbbox(for_layout_only=True)
    inner = axes.get_position().transformed(part.transSubfigure)
    if outer is None:
        return np.zeros(4)
    taken = [
        *(inner.x0 - outer.x0, inner.y0 - outer.y0),
        *(outer.x1 - inner.x1, outer.y1 - inner.y1),
    ]
    return np.maximum(taken, 0) / part.figure.dpi


def _place(part: Figure | SubFigure, axes: Axes, around: Inches) -> None:
    """Make axes as large as the room around them allows, at the left and the top of `part`."""
    width, height = part.bbox.width / part.figure.dpi, part.bbox.height / part.figure.dpi
    left, below, right, above = around + _MARGIN
    free = np.maximum([width - left - right, height - below - above], _MARGIN)
    aspect = axes.get_box_aspect()
    if aspect is not None:
        wide = min(free[0], free[1] / aspect)
        free = np.array([wide, wide * aspect])
    place = Bbox.from_bounds(left, height - above - free[1], *free)
    axes.set_position(Bbox(place.get_points() / (width, height)))
    axes.set_in_layout(True)
