"""Draws how alike each pair of layers of two models is."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.comparing.result import Similarity
from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.canvas import picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.labels import name_ticks, plain_title
from actscope.render.scale import Scale, not_finite
from actscope.render.surface import surface_of

_TILES = 20
_BESIDE = (2.6, 2.4)
_MOST_NAMED = 40
_WORDS = {
    "cka": "linear CKA",
    "rsa": "RSA, Spearman's correlation of dissimilarities",
    "svcca": "SVCCA, mean canonical correlation",
}


def similarity(
    found: Similarity,
    *,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw a matrix of similarities: the first model's layers up, the second's to the right.

    The first layers of both stand in the lower left corner. What is not known is marked.

    Args:
        found: the `similarity` of what `actscope.compare` found.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: a model has no layers.
    """
    surface = surface_of(ax, figure)
    if found.values.size == 0:
        raise RenderError("one of the models has no layers: there is no similarity to draw")
    height, width = found.values.shape
    canvas = prepare(picture_size(width / height, _TILES, surface), surface, _BESIDE)
    axes = canvas.map_axes()
    lowest = max(-1.0, float(np.nanmin(found.values, initial=0.0)))
    paint = Paint(Scale("shared", lowest, 1.0), draw.colour_map("viridis"))
    draw.draw_image(axes, found.values, paint)
    draw.draw_marks(axes, not_finite(found.values))
    axes.set_ylim(-0.5, height - 0.5)
    for axis, names in (("y", found.layers_a), ("x", found.layers_b)):
        shown = range(0, len(names), -(-len(names) // _MOST_NAMED))
        name_ticks(axes, axis, shown, [names[position] for position in shown])
    axes.tick_params(length=0)
    draw.draw_colour_bar(axes, canvas, paint, _WORDS.get(found.method, found.method))
    plain_title(axes, f"a (up) and b · {found.samples:,} samples", canvas.title_letters)
    return canvas.whole
