"""Divides a figure into panels of one size, with one heading above all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure, SubFigure

from actscope.render.canvas import RESOLUTION
from actscope.render.fitting import FittedLayout
from actscope.render.letters import literal
from actscope.render.surface import Surface, laid_out

_HEADING = 0.66
_LEFT = 0.07
_TITLE_BELOW_TOP = 0.25
_LINES_BELOW_TOP = (0.42, 0.56)
_LETTERS_PER_INCH = (12, 16)


@dataclass(frozen=True)
class HeadedFigure:
    """A figure with panels below a heading.

    Attributes:
        figure: the whole.
        top: where the heading goes.
        panels: row by row.
    """

    figure: Figure
    top: SubFigure
    panels: tuple[SubFigure, ...]

    @property
    def letters(self) -> tuple[int, int]:
        """How many letters the title may have, and a smaller line."""
        inches = self.top.bbox.width / self.top.dpi - _LEFT
        return round(inches * _LETTERS_PER_INCH[0]), round(inches * _LETTERS_PER_INCH[1])

    def write(self, title: str, lines: Sequence[str]) -> None:
        """The title, and below it at most two smaller lines; all are drawn literally."""
        self._put(title, _TITLE_BELOW_TOP, 11.0, "black")
        for line, below in zip(lines, _LINES_BELOW_TOP, strict=False):
            self._put(line, below, 8.0, "0.35")

    def _put(self, text: str, below: float, size: float, colour: str) -> None:
        width, height = self.top.bbox.width / self.top.dpi, self.top.bbox.height / self.top.dpi
        at = (_LEFT / width, 1 - below / height)
        literal(self.top.text(*at, text, fontsize=size, color=colour))


def headed(
    panel: tuple[float, float], shape: tuple[int, int], surface: Surface | None
) -> HeadedFigure:
    """Panels of `panel` inches in `shape` rows and columns, on a new figure.

    A given figure keeps its size, and its panels share what the heading leaves.
    """
    rows, columns = shape
    figure: Figure | SubFigure
    if surface is None:
        size = (panel[0] * columns, panel[1] * rows + _HEADING)
        figure = Figure(figsize=size, dpi=RESOLUTION, layout=FittedLayout())
    else:
        figure = laid_out(surface)
    height = figure.bbox.height / figure.dpi
    shares = [_HEADING, max(height - _HEADING, _HEADING)]
    top, body = figure.subfigures(2, 1, height_ratios=shares, squeeze=False).ravel()
    panels = body.subfigures(rows, columns, squeeze=False).ravel()
    return HeadedFigure(figure.figure, top, tuple(panels))
