"""Turns figures into pixels, and writes them to a file, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from actscope.errors import RenderError
from actscope.render.canvas import RESOLUTION
from actscope.replacing import replacing

FORMATS = ("jpg", "pdf", "png", "svg")

_OPAQUE = 255


def save(figure: Figure, path: str | Path) -> None:
    """Write `figure` at 150 dots per inch, in the format that the suffix of `path` names.

    It is written under a temporary name beside `path` and then renamed, so that a file of that
    name is replaced in one step, and kept where writing fails.

    Raises:
        RenderError: the suffix is none of .jpg, .pdf, .png and .svg.
        MissingFileError: the folder does not exist.
    """
    path = Path(path)
    suffix = checked_suffix(path, FORMATS)
    with replacing(path) as temporary:
        if suffix == "png":
            write_png(figure, temporary)
        else:
            figure.savefig(temporary, format=suffix, dpi=RESOLUTION)


def write_png(figure: Figure, target: Path | IO[bytes]) -> None:
    """Write `figure` as a PNG of 150 dots per inch; without an alpha channel where it is opaque.

    The pixels are those of `Figure.savefig`, which takes twice as long.
    """
    drawn = pixels(figure)
    if (drawn[..., 3] == _OPAQUE).all():
        drawn = np.ascontiguousarray(drawn[..., :3])
    Image.fromarray(drawn).save(target, format="png", dpi=(RESOLUTION, RESOLUTION))


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """`figure` at 150 dots per inch, RGBA, `(height, width, 4)`.

    It is laid out and drawn once. `Figure.savefig` does both twice, so that an extent to crop to is
    known before.
    """
    resolution, canvas = figure.dpi, figure.canvas
    figure.dpi = RESOLUTION
    agg = FigureCanvasAgg(figure)
    try:
        agg.draw()  # type: ignore[no-untyped-call]
        return np.asarray(agg.buffer_rgba())  # type: ignore[no-untyped-call]
    finally:
        figure.dpi = resolution
        figure.set_canvas(canvas)


def checked_suffix(path: Path, formats: Sequence[str]) -> str:
    """The suffix of `path` in lower case, without its dot.

    Raises:
        RenderError: it is none of `formats`.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in formats)
        raise RenderError(f"cannot save {path.name!r}: the suffix must be one of {known}")
    return suffix
