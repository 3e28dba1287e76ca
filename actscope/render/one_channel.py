"""Draws one channel of a layer over many samples."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from actscope.errors import RenderError
from actscope.render import draw
from actscope.render.labels import name_ticks
from actscope.render.layout import MOST_TILES, Maps, arrange
from actscope.render.look import Look, bar_label, painted, scale_words
from actscope.render.sequences import draw_rows
from actscope.render.several import Samples, find_samples, take_samples, tile_name
from actscope.render.sheets import draw_sheet
from actscope.render.subject import Layer, Subject, find_position
from actscope.render.words import maps_words, not_finite_words, shorten, titled, wrapped

_LETTERS = 14
_MOST_NAMED = 32


def draw_channel(layer: Layer, channel: int, samples: Samples, look: Look) -> Figure:
    """Draw one channel of `samples`, each a tile; or, of steps, each a row of one image.

    Raises:
        RenderError: there is no such sample or channel, more than 256 samples, or no map to draw.
    """
    positions = find_samples(layer, samples)
    if len(positions) > MOST_TILES:
        raise RenderError(
            f"{len(positions)} samples are too many for one picture: name at most {MOST_TILES}"
        )
    names, chosen = [], []
    for subject in take_samples(layer, positions):
        maps = arrange(subject.values, subject.axes)
        number = find_position(channel, len(maps.values), maps.noun, subject.name)
        chosen.append(maps.values[number].copy())  # a view would keep the other channels
        names.append(tile_name(subject))
    together = replace(maps, values=np.stack(chosen), numbers=np.array(positions), noun="sample")
    if together.values[0].size == 1:
        raise RenderError(
            f"{subject.name or 'the array'!r} has one value per {maps.noun} and sample, which "
            "makes no map: use render.vector for one sample"
        )
    return _draw(subject, names, together, f"{maps.noun} {number}", look)


def _draw(subject: Subject, names: list[str], maps: Maps, channel: str, look: Look) -> Figure:
    shown, paint = painted(maps, look)
    if maps.row_axis:
        label = bar_label(paint.scale, maps.noun, subject.quantity)
        labels = tile_names(names, maps.slices)
        axes, canvas, sheet = draw_sheet(
            shown.tiles, paint, labels, label, look.columns, look.surface
        )
        lift = sheet.lift
    else:
        axes, canvas = draw_rows(shown, paint, subject.quantity, look.surface)
        named = range(0, len(names), -(-len(names) // _MOST_NAMED))
        name_ticks(axes, "y", named, [names[position] for position in named])
        lift = 0.0
    lines = [
        subject.class_name,
        maps_words(maps, len(names)),
        scale_words(paint.scale, maps.noun),
        not_finite_words(maps.values),
    ]
    heading = titled(subject.name, channel, canvas.title_letters)
    draw.draw_words(axes, canvas, heading, wrapped(lines, canvas.detail_letters), lift)
    return canvas.whole


def tile_names(names: list[str], slices: int) -> list[str]:
    """A short name for each tile: its sample's, and the slice where there are several."""
    short = [shorten(name, _LETTERS) for name in names]
    if slices == 1:
        return short
    return [f"{name}:{part}" for name in short for part in range(slices)]
