"""Draws maps as one mosaic: what grids, heat maps per channel and long vectors share."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from actscope.render import draw
from actscope.render.canvas import Canvas, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.layout import MOST_TILES, columns_for, gap_between, mosaic
from actscope.render.scale import Scale, not_finite
from actscope.render.subject import Values
from actscope.render.surface import Surface

_ROOM_FOR_NUMBERS = 0.3
_NUMBER_INCHES = 0.13
_PAGE_INCHES = 10.0
_NUMBER_POINTS = 7.0


@dataclass(frozen=True)
class Sheet:
    """Where the tiles of a mosaic stand, and how large it is drawn.

    Attributes:
        columns: how many tiles in a row.
        gaps: pixels between rows, and between columns.
        size: width and height in inches.
        numbered: whether there is room for a number above each tile.
    """

    columns: int
    gaps: tuple[int, int]
    size: tuple[float, float]
    numbered: bool

    @property
    def lift(self) -> float:
        """Points that the numbers of the first row take above the picture."""
        return _NUMBER_POINTS if self.numbered else 0.0


def plan_sheet(
    shape: tuple[int, ...],
    columns: int | None,
    surface: Surface | None,
    inches_per_tile: float = 0.0,
) -> Sheet:
    """A sheet for tiles of `shape` `(count, height, width)`, nearly square unless told otherwise.

    On a new figure tiles are as large as `inches_per_tile` asks, in as far as they fit on a page.

    Raises:
        RenderError: `columns` is not a whole number above 0.
    """
    count, height, width = shape[:3]
    gap = gap_between(height, width)
    columns = columns_for(columns, count, height, width)
    rows = -(-count // columns)
    least = min(inches_per_tile * max(rows, columns), _PAGE_INCHES)
    size = picture_size(columns * (width + gap) / (rows * (height + gap)), count, surface, least)
    pixel = size[1] / (rows * (height + gap))
    smallest_side = min(pixel * height, size[0] / columns)
    numbered = gap > 0 and 1 < count <= MOST_TILES and smallest_side >= _ROOM_FOR_NUMBERS
    row_gap = max(gap, ceil(_NUMBER_INCHES / pixel)) if numbered else gap
    aspect = (columns * (width + gap) - gap) / (rows * (height + row_gap) - row_gap)
    return Sheet(columns, (row_gap, gap), picture_size(aspect, count, surface, least), numbered)


def draw_tiles(
    axes: Axes,
    canvas: Canvas,
    sheet: Sheet,
    tiles: Values,
    paint: Paint,
    labels: Sequence[str] = (),
) -> AxesImage:
    """Draw tiles `(count, height, width)` as one image, and what is not finite as a second one.

    `labels` are drawn above the tiles where the sheet has room for them.
    """
    placed = mosaic(tiles, sheet.columns, sheet.gaps)
    interpolation = canvas.interpolation(placed.image.shape)
    image = draw.draw_image(axes, placed.image, paint, interpolation)
    lost = mosaic(not_finite(tiles), sheet.columns, sheet.gaps, fill=False)
    draw.draw_marks(axes, lost.image)
    if sheet.numbered:
        draw.draw_numbers(axes, placed, labels)
    if paint.scale.diverging and placed.column_gap:
        draw.draw_frames(axes, placed)
    return image


def draw_sheet(
    tiles: Values,
    paint: Paint,
    labels: Sequence[str],
    bar_label: str,
    columns: int | None,
    surface: Surface | None,
) -> tuple[Axes, Canvas, Sheet]:
    """Tiles `(count, height, width)` on a sheet with a colour bar, and no heading yet."""
    sheet = plan_sheet(tiles.shape, columns, surface)
    canvas = prepare(sheet.size, surface)
    axes = canvas.bare_axes()
    draw_tiles(axes, canvas, sheet, tiles, paint, labels)
    draw.draw_colour_bar(axes, canvas, paint, bar_label)
    return axes, canvas, sheet


def default_colours(scale: Scale, sequential: str = "viridis") -> str:
    """The name of a perceptually even colour map that the colour-blind can read."""
    return "RdBu_r" if scale.diverging else sequential
