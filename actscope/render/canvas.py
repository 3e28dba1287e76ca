"""Makes room for one picture on a figure: sizes in inches, and the axes."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.render.fitting import FittedLayout
from actscope.render.surface import Surface, laid_out, room_on

RESOLUTION = 150
"""Dots per inch of what is drawn and saved."""

BESIDE_MAPS = (1.05, 0.4)
"""Inches beside a picture for its colour bar, and above it for its title."""

BESIDE_BARS = (0.7, 0.85)
"""Inches for the axes' labels left and below, and the title."""

BESIDE_STEPS = (1.5, 0.85)
"""Inches for the axes' labels, the colour bar and the title."""

_NARROWEST = 4.4
_LARGEST = 6.4
_SMALLEST = 3.2
_LOWEST = 1.8
_MARGINS = 0.3
_INCHES_PER_TILE = 1.3
_THINNEST = 3.0
_TITLE_LETTERS_PER_INCH = 12
_DETAIL_LETTERS_PER_INCH = 16


@dataclass(frozen=True)
class Canvas:
    """A figure, and the room on it for a picture and its heading.

    Attributes:
        figure: what is drawn on.
        width: of the picture without the colour bar, in inches.
        height: of the picture without the heading, in inches.
        own: whether the figure was made for this picture, so that it may grow.
    """

    figure: Figure | SubFigure
    width: float
    height: float
    own: bool

    @property
    def whole(self) -> Figure:
        """The figure, or the one that a subfigure is part of."""
        return self.figure.figure

    @property
    def title_letters(self) -> int:
        """How many letters a title may have."""
        return round(self._full_width * _TITLE_LETTERS_PER_INCH)

    @property
    def detail_letters(self) -> int:
        """How many letters a smaller line may have, to end about where the picture does."""
        width = min(max(self.width, _SMALLEST), self._full_width)
        return round(width * _DETAIL_LETTERS_PER_INCH)

    @property
    def _full_width(self) -> float:
        return float(self.figure.bbox.width / self.figure.dpi) - _MARGINS

    def axes(self) -> Axes:
        """New axes that fill the figure."""
        axes = self.figure.add_subplot()
        axes.set_anchor("NW")
        axes.grid(visible=False)
        return axes

    def map_axes(self) -> Axes:
        """New axes in the picture's proportions, without lines and ticks around it."""
        axes = self.axes()
        axes.set_box_aspect(self.height / self.width)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def bare_axes(self) -> Axes:
        """The same without an axis on any side, which need not be laid out: that takes long."""
        axes = self.map_axes()
        axes.set_axis_off()
        return axes

    def grow(self, inches: float) -> None:
        """Make room for more lines above the picture, where the figure is our own."""
        if self.own:
            width, height = self.whole.get_size_inches()
            self.whole.set_size_inches(width, height + inches)

    def interpolation(self, shape: tuple[int, ...]) -> str:
        """Sharp pixels where there is room for those of `shape`, else averages of them."""
        fits = shape[0] <= self.height * RESOLUTION and shape[1] <= self.width * RESOLUTION
        return "nearest" if fits else "antialiased"


def picture_size(
    aspect: float, tiles: int, surface: Surface | None, least: float = 0.0
) -> tuple[float, float]:
    """Width and height in inches for a picture of `tiles` tiles that is to have `aspect`.

    Mere strips are shown with 3 to 1 at most, so that their pixels are not square. On a new
    figure the longer side has `least` inches at least.
    """
    aspect = min(max(aspect, 1 / _THINNEST), _THINNEST)
    if surface is None:
        side = min(max(_INCHES_PER_TILE * tiles**0.5, _SMALLEST, _LOWEST * aspect), _LARGEST)
        side = max(side, least)
        room = (side, side)
    else:
        width, height = room_on(surface)
        room = (max(0.5, width - BESIDE_MAPS[0]), max(0.5, height - BESIDE_STEPS[1]))
    width = min(room[0], room[1] * aspect)
    return width, width / aspect


def prepare(
    size: tuple[float, float],
    surface: Surface | None,
    beside: tuple[float, float] = BESIDE_MAPS,
) -> Canvas:
    """A canvas for a picture of `size` inches, on `surface` or on a new figure.

    A figure without a layout engine gets one that cuts nothing off.
    """
    width, height = size
    figure: Figure | SubFigure
    if surface is None:
        whole = (max(width + beside[0], _NARROWEST), height + beside[1])
        figure = Figure(figsize=whole, dpi=RESOLUTION, layout=FittedLayout())
    else:
        figure = laid_out(surface)
    return Canvas(figure, width, height, surface is None)
