"""What a picture is drawn on: a figure, a part of one, or the place of empty axes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.render.fitting import FittedLayout

Surface = Figure | SubFigure | Axes


def surface_of(ax: Axes | None, figure: Figure | SubFigure | None) -> Surface | None:
    """What was given to draw on, if anything; nothing of it is changed yet.

    Raises:
        RenderError: both were given, or axes that are not empty or whose place cannot be taken.
    """
    if ax is None:
        return figure
    if figure is not None:
        raise RenderError("give ax= or figure=, not both")
    if ax.get_subplotspec() is None:
        raise RenderError("ax= is not of plt.subplots: give a subfigure as figure= instead")
    if ax.has_data():
        raise RenderError("ax= holds data already: the picture takes the place of empty axes")
    return ax


def room_on(surface: Surface) -> tuple[float, float]:
    """Its width and height in inches."""
    dots = surface.figure.dpi if isinstance(surface, Axes) else surface.dpi
    return surface.bbox.width / dots, surface.bbox.height / dots


def part_for(surface: Surface) -> Figure | SubFigure:
    """What to put axes on; of axes a subfigure that takes their place."""
    if not isinstance(surface, Axes):
        return surface
    place, part = surface.get_subplotspec(), surface.figure
    assert place is not None  # `surface_of` has looked
    surface.remove()
    return part.add_subfigure(place)


def laid_out(surface: Surface) -> Figure | SubFigure:
    """The same, and a figure without a layout engine gets one that cuts nothing off."""
    part = part_for(surface)
    whole = part.figure if isinstance(surface, Axes) else part
    if isinstance(whole, Figure) and whole.get_layout_engine() is None:
        whole.set_layout_engine(FittedLayout())
    return part
