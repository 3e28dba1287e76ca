"""Lays out one sample's way through a network: cards in rows, lines between them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

MOST_CARDS = 108
"""More layers than that are thinned out evenly."""

CARD_WIDTH = 1.35
CARD_HEIGHT = 1.5
PICTURE_HEIGHT = 0.95
"""Inches; the words of a card stand above its picture."""

PICTURE_BOTTOM = 0.17
PICTURE_LEFT = 0.14
PICTURE_WIDTH = CARD_WIDTH - 2 * PICTURE_LEFT
MARGIN = 0.18
HEADING = 0.64

_ASPECT = 1.7
_MOST_COLUMNS = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Pathway:
    """Where cards stand on a page, in inches from its lower left corner.

    Attributes:
        size: width and height of the page.
        corners: for each card its lower left corner.
        columns: cards in a row.
    """

    size: tuple[float, float]
    corners: tuple[Point, ...]
    columns: int

    @property
    def lines(self) -> list[list[Point]]:
        """For each card but the first, the corners of the line that leads to its picture.

        Within a row the line is straight; to the next row it runs between the two.
        """
        return [
            self._line(before, after)
            for before, after in zip(self.corners, self.corners[1:], strict=False)
        ]

    def _line(self, before: Point, after: Point) -> list[Point]:
        middle = PICTURE_BOTTOM + PICTURE_HEIGHT / 2
        start = (before[0] + CARD_WIDTH - PICTURE_LEFT + 0.03, before[1] + middle)
        end = (after[0] + PICTURE_LEFT - 0.03, after[1] + middle)
        if before[1] == after[1]:
            return [start, end]
        right, left = start[0] + 0.12, end[0] - 0.14
        between = before[1] + 0.04
        return [start, (right, start[1]), (right, between), (left, between), (left, end[1]), end]


def lay_out(cards: int) -> Pathway:
    """Places for `cards` cards, row by row, on a page somewhat wider than high."""
    columns = ceil(sqrt(cards * _ASPECT * CARD_HEIGHT / CARD_WIDTH))
    rows = ceil(cards / min(columns, _MOST_COLUMNS))
    columns = ceil(cards / rows)
    width = columns * CARD_WIDTH + 2 * MARGIN
    height = rows * CARD_HEIGHT + HEADING
    corners = tuple(
        (
            MARGIN + (card % columns) * CARD_WIDTH,
            height - HEADING - (card // columns + 1) * CARD_HEIGHT,
        )
        for card in range(cards)
    )
    return Pathway((width, height), corners, columns)


def thinned(count: int, most: int = MOST_CARDS) -> Sequence[int]:
    """At most `most` of `count` positions, spread evenly, the first and the last among them."""
    if count <= most:
        return range(count)
    return [int(position) for position in np.linspace(0, count - 1, most).round()]
