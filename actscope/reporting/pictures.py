"""Makes small pictures of a layer's channels as data of the page: no axes, no words drawn in.

They have one byte per pixel and as many pixels as they have values, or fewer; the browser
enlarges them. Hundreds are made in a second.
"""

import base64
import io
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from actscope.plurals import counted
from actscope.render.draw import NOT_FINITE_COLOUR
from actscope.render.layout import Maps, Mosaic, gap_between, mosaic, near_square
from actscope.render.pictures import as_picture, shrunk
from actscope.render.scale import Scale, not_finite
from actscope.render.sheets import default_colours
from actscope.render.subject import Values
from actscope.render.words import maps_words, not_finite_words

MOST_TILES = 64
"""Of layers of more maps than that the strongest channels are shown."""

MOST_BARS = 128
"""Up to as many single values are bars, more are pixels."""

MOST_PIXELS = 4096
"""Of more single values than that the strongest are shown."""

_SHADES = 254
_MARK, _GAP = 254, 255
_STOPS = 16
_LONGEST_INPUT = 64
_ROOM = (620, 760)
_LARGEST_PIXEL = 14
_NUMBER_WIDTH, _NUMBER_HEIGHT = 26, 13


@dataclass(frozen=True)
class Reduced:
    """The maps of one sample with few enough values for a picture.

    Attributes:
        tiles: means of blocks of the finite values, `(count, height, width)`; NaN where a block
            holds a value that is not finite, so that none is lost.
        block: how many values each is the mean of, down and to the right.
    """

    tiles: Values
    block: tuple[int, int]


@dataclass(frozen=True)
class Pixels:
    """Maps as one image.

    Attributes:
        placed: the mosaic of palette indices, uint8.
        times: how many pixels of the screen each pixel is wide and high, below 1 for large images.
    """

    placed: Mosaic
    times: float

    @property
    def numbered(self) -> bool:
        """Whether the gaps between the rows have room for the channels' numbers."""
        return self.placed.row_gap * self.times >= _NUMBER_HEIGHT


def kept(maps: Maps, strength: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The numbers of the channels that are shown, ascending.

    Args:
        maps: of one sample.
        strength: how strong each channel is over all samples, `(channels,)`; NaN is weakest.
    """
    single = maps.values[0].size == 1
    most = MOST_PIXELS if single else max(1, MOST_TILES // maps.slices)
    order = np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")
    return np.sort(order[:most])


def only(maps: Maps, numbers: npt.NDArray[np.intp]) -> Maps:
    """The channels `numbers`, and of each at most as many slices as there may be tiles."""
    return replace(maps, values=maps.values[numbers, :MOST_TILES], numbers=maps.numbers[numbers])


def are_bars(maps: Maps) -> bool:
    """Whether there is one value per channel, and so few that they are drawn as bars."""
    return maps.values[0].size == 1 and len(maps.values) <= MOST_BARS


def are_steps(maps: Maps) -> bool:
    """Whether the maps have one axis, so that they are one image with the channels down."""
    return not maps.row_axis and maps.values[0].size > 1


def reduced(maps: Maps, most: int) -> Reduced:
    """The tiles, or one tile of steps to the right and channels down, in at most `most` values."""
    steps = are_steps(maps)
    tiles = maps.values[:, 0, 0][np.newaxis] if steps else maps.tiles
    block = _block(tiles.shape, most, square=not steps)
    lost = not_finite(tiles)
    means = _sums(np.where(lost, 0, tiles), block) / np.maximum(_sums(~lost, block), 1)
    return Reduced(np.where(_sums(lost, block) > 0, np.nan, means), block)


def _block(shape: tuple[int, ...], most: int, *, square: bool) -> tuple[int, int]:
    """The smallest block whose means are at most `most` pixels."""
    count, height, width = shape
    side = 1
    while count * -(-height // (side if square else 1)) * -(-width // side) > most:
        side += 1
    return (min(side, height) if square else 1, min(side, width))


def _sums(tiles: npt.NDArray[Any], block: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Sums over blocks of `(count, height, width)`; those at the edges may be smaller."""
    height, width = tiles.shape[1:]
    down = np.add.reduceat(tiles, range(0, height, block[0]), axis=1, dtype=np.float64)
    return np.add.reduceat(down, range(0, width, block[1]), axis=2)


def draw_pixels(tiles: Values, scale: Scale) -> Pixels:
    """Tiles in one image, with gaps between rows that hold numbers where the tiles are wide."""
    shades, columns = _shades(tiles, scale), near_square(*tiles.shape)
    gap = gap_between(*tiles.shape[1:])
    placed = mosaic(shades, columns, (gap, gap), fill=_GAP)
    times = _times(placed)
    if len(tiles) > 1 and placed.tile_width * times >= _NUMBER_WIDTH:
        placed = mosaic(shades, columns, (max(gap, ceil(_NUMBER_HEIGHT / times)), gap), fill=_GAP)
        times = _times(placed)
    return Pixels(placed, times)


def _shades(tiles: Values, scale: Scale) -> npt.NDArray[np.uint8]:
    """Palette indices; what is not finite is marked."""
    lost = not_finite(tiles)
    low, high = scale.low / 2, scale.high / 2  # halves, whose difference cannot overflow
    shares = (np.where(lost, low, tiles / 2) - low) / (high - low)
    shades = np.clip(shares * _SHADES, 0, _SHADES - 1).astype(np.uint8)
    return np.where(lost, np.uint8(_MARK), shades)


def _times(placed: Mosaic) -> float:
    """As large as there is room on the screen; whole, so that all pixels are of one size."""
    height, width = placed.image.shape[:2]
    fits: float = min(_ROOM[0] / height, _ROOM[1] / width)
    return min(floor(fits), _LARGEST_PIXEL) if fits >= 1 else fits


def png(pixels: Pixels, scale: Scale) -> bytes:
    """The image as PNG with a palette; gaps are transparent, so that any background will do."""
    colours = matplotlib.colormaps[default_colours(scale)](np.linspace(0, 1, _SHADES))[:, :3]
    palette = np.vstack([colours, to_rgb(NOT_FINITE_COLOUR), (1, 1, 1)])
    image = Image.fromarray(np.ascontiguousarray(pixels.placed.image))
    image.putpalette((palette * 255).round().astype(np.uint8).tobytes())
    written = io.BytesIO()
    image.save(written, format="PNG", transparency=_GAP)
    return written.getvalue()


def input_png(values: Values) -> bytes:
    """A model's input as PNG, no side longer than 64 pixels.

    Raises:
        RenderError: it has not the shape of an image.
    """
    picture = shrunk(as_picture(values), _LONGEST_INPUT)
    written = io.BytesIO()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(written, format="PNG")
    return written.getvalue()


def data_uri(image: bytes) -> str:
    """A PNG as the address of an image that lies in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def stops(scale: Scale) -> list[str]:
    """Colours from the lowest to the highest value, evenly spaced, such as `"#440154"`."""
    colours = matplotlib.colormaps[default_colours(scale)](np.linspace(0, 1, _STOPS))
    return [to_hex(colour) for colour in colours]


def picture_words(whole: Maps, shown: Maps, block: tuple[int, int]) -> str:
    """What the picture of one sample shows, and what was left out of it.

    Args:
        whole: all maps of the sample.
        shown: those in the picture.
        block: how many values each pixel is the mean of.
    """
    count = len(whole.values)
    if whole.values[0].size == 1:
        part = f"{len(shown.values)} strongest of " if len(shown.values) < count else ""
        parts = [part + counted(count, whole.noun)]
    else:
        parts = [maps_words(shown, count)]
    if shown.slices < whole.slices:
        parts.append(f"the first {shown.slices} of {whole.slices} slices")
    if block != (1, 1):
        parts.append(f"each pixel is the mean of {block[0]}×{block[1]} values")
    lost = not_finite_words(shown.values)
    parts += [f"{lost} (magenta)"] if lost else []
    return " · ".join(parts)
