"""Arranges a sample's values into maps, and maps into one mosaic image. Pure: no drawing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import channel_axis
from actscope.errors import RenderError
from actscope.render.subject import Values

MOST_TILES = 256
"""Of channels that make more tiles than that the strongest are drawn."""

_WITHOUT_CHANNELS = ("x", "key")
_WIDEST = 1.4
_COST_OF_EMPTY_TILES = 2.0
_GAP_PER_TILE = 0.04


@dataclass(frozen=True)
class Maps:
    """One sample as maps, channels first.

    Attributes:
        values: shape `(channels, slices, height, width)`; one slice unless there are more than
            two axes beside the channels.
        numbers: the channels' numbers in the layer, shape `(channels,)`.
        noun: what a channel is called, such as `"channel"` or `"head"`.
        row_axis: the name of the axis that runs down, empty where there is none.
        column_axis: the name of the axis that runs to the right, empty where there is none.
    """

    values: Values
    numbers: npt.NDArray[np.intp]
    noun: str
    row_axis: str
    column_axis: str

    @property
    def tiles(self) -> Values:
        """Every slice of every channel, shape `(channels * slices, height, width)`."""
        return self.values.reshape(-1, *self.values.shape[2:])

    @property
    def slices(self) -> int:
        """How many maps there are of each channel."""
        return int(self.values.shape[1])

    @property
    def labels(self) -> list[str]:
        """For each tile the number of its channel, and of the slice where there are several."""
        if self.slices == 1:
            return [str(number) for number in self.numbers]
        return [f"{number}:{part}" for number in self.numbers for part in range(self.slices)]


def arrange(values: Values, axes: Sequence[str]) -> Maps:
    """Maps of one sample whose axes are called `axes`.

    The channels are the axis called head, channel or feature, else the last one. The last two of
    the other axes are the height and the width, and those before them are folded into slices.
    Steps and tokens run to the right and their channels down.
    """
    channel = _channel_axis(axes)
    others = [name for position, name in enumerate(axes) if position != channel]
    moved = values[np.newaxis] if channel is None else np.moveaxis(values, channel, 0)
    if len(others) > 1 and others[-1] == "channel":
        moved = moved.swapaxes(-1, -2)
        others[-2:] = others[:-3:-1]
    padded = moved.reshape(len(moved), *(1,) * (2 - len(others)), *moved.shape[1:])
    return Maps(
        values=padded.reshape(len(moved), -1, *padded.shape[-2:]),
        numbers=np.arange(len(moved)),
        noun="channel" if channel is None else axes[channel],
        row_axis=others[-2] if len(others) > 1 else "",
        column_axis=others[-1] if others else "",
    )


def _channel_axis(axes: Sequence[str]) -> int | None:
    found = channel_axis(axes)
    only = found is not None and len(axes) > 1 and axes[found] in _WITHOUT_CHANNELS
    return None if only else found


def strongest(maps: Maps, tiles: int = MOST_TILES) -> Maps:
    """The channels of the largest mean absolute value, in their order, in at most `tiles` maps.

    Values that are not finite count for nothing; one channel is kept in any case.
    """
    keep = max(1, tiles // maps.slices)
    if len(maps.values) <= keep:
        return maps
    finite = np.where(np.isfinite(maps.values), maps.values, 0)
    strength = np.abs(finite).mean(axis=(1, 2, 3), dtype=np.float64)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:keep])
    return replace(maps, values=maps.values[chosen], numbers=maps.numbers[chosen])


@dataclass(frozen=True)
class Mosaic:
    """Tiles of one size, row by row, in one image.

    Attributes:
        image: shape `(height, width)`, or `(height, width, colours)`.
        count: how many tiles there are; the rest of the last row is empty.
        rows: how many rows of tiles.
        columns: how many tiles in a row.
        tile_height: in pixels of the image.
        tile_width: in pixels of the image.
        row_gap: pixels between two rows.
        column_gap: pixels between two columns.
    """

    image: npt.NDArray[Any]
    count: int
    rows: int
    columns: int
    tile_height: int
    tile_width: int
    row_gap: int
    column_gap: int

    def corner(self, index: int) -> tuple[int, int]:
        """Row and column of the image where tile `index` begins."""
        row, column = divmod(index, self.columns)
        return row * (self.tile_height + self.row_gap), column * (self.tile_width + self.column_gap)


def mosaic(
    tiles: npt.NDArray[Any], columns: int, gaps: tuple[int, int], fill: float = np.nan
) -> Mosaic:
    """Tiles `(count, height, width[, colours])` side by side, `columns` to a row.

    Args:
        tiles: what to place, row by row.
        columns: how many stand side by side.
        gaps: empty pixels between rows, and between columns.
        fill: the value of empty pixels.
    """
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    cell = (height + gaps[0], width + gaps[1])
    cells = np.full((rows * columns, *cell, *tiles.shape[3:]), fill, tiles.dtype)
    cells[:count, :height, :width] = tiles
    grid = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    image = grid.reshape(rows * cell[0], columns * cell[1], *tiles.shape[3:])
    image = image[: rows * cell[0] - gaps[0], : columns * cell[1] - gaps[1]]
    return Mosaic(image, count, rows, columns, height, width, *gaps)


def gap_between(height: int, width: int) -> int:
    """Pixels between tiles of this size: none between single pixels, else 4 % but at least 1."""
    return 0 if height == width == 1 else max(1, round(_GAP_PER_TILE * sqrt(height * width)))


def near_square(count: int, height: int, width: int) -> int:
    """How many tiles to put in a row, so that the whole is 1 to 1.4 times as wide as high.

    Where that leaves tiles of the last row empty, or cannot be had, the least bad is taken.
    """
    columns = np.arange(1, count + 1)
    rows = -(-count // columns)
    aspect = (columns * width) / (rows * height)
    beyond = np.maximum(0, np.maximum(-np.log(aspect), np.log(aspect / _WIDEST)))
    empty = 1 - count / (rows * columns)
    return int(columns[np.argmin(beyond + _COST_OF_EMPTY_TILES * empty)])


def columns_for(columns: int | None, count: int, height: int, width: int) -> int:
    """The number of columns that was asked for, or a near square.

    Raises:
        RenderError: it is not a whole number above 0.
    """
    if columns is None:
        return near_square(count, height, width)
    if not isinstance(columns, int | np.integer) or columns < 1:
        raise RenderError(f"columns must be a whole number above 0, got {columns!r}")
    return min(int(columns), count)
