"""Decides how maps look: their scale and their colours."""

from dataclasses import dataclass, replace

from matplotlib.colors import Colormap

from actscope.render.draw import Paint, colour_map
from actscope.render.layout import Maps
from actscope.render.scale import Scale, scale_for, share_of_range
from actscope.render.sheets import default_colours
from actscope.render.surface import Surface


@dataclass(frozen=True)
class Look:
    """How maps are to be drawn, as it was asked for.

    Attributes:
        scale: a kind of scale, or a scale.
        cmap: a colour map, its name, or None for the one that fits the scale.
        columns: tiles in a row, or None for a nearly square picture.
        surface: what to draw on, or None for a new figure.
    """

    scale: str | Scale = "auto"
    cmap: str | Colormap | None = None
    columns: int | None = None
    surface: Surface | None = None


def painted(maps: Maps, look: Look) -> tuple[Maps, Paint]:
    """The maps as their colours show them, and these colours.

    Where each channel has its own scale, its values become shares of its range.

    Raises:
        RenderError: there is no such scale or colour map.
    """
    scale = scale_for(maps.values, look.scale)
    paint = Paint(scale, colour_map(look.cmap or default_colours(scale)))
    if scale.kind == "channel":
        maps = replace(maps, values=share_of_range(maps.values))
    return maps, paint


def bar_label(scale: Scale, noun: str, quantity: str) -> str:
    """What a colour bar shows: the values, or shares where each channel has its own scale."""
    return f"share of each {noun}'s range" if scale.kind == "channel" else quantity


def scale_words(scale: Scale, noun: str) -> str:
    """What a heading says of a scale; empty where the colour bar says it all."""
    return f"each {noun} over its own range" if scale.kind == "channel" else ""
