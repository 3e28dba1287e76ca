"""Writes a figure to a file, whole or not at all."""

from pathlib import Path

from matplotlib.figure import Figure

from actscope.errors import RenderError
from actscope.render.canvas import RESOLUTION
from actscope.replacing import replacing

FORMATS = ("jpg", "pdf", "png", "svg")


def save(figure: Figure, path: str | Path) -> None:
    """Write `figure` at 150 dots per inch, in the format that the suffix of `path` names.

    It is written under a temporary name beside `path` and then renamed, so that a file of that
    name is replaced in one step, and kept where writing fails.

    Raises:
        RenderError: the suffix is none of .jpg, .pdf, .png and .svg.
        MissingFileError: the folder does not exist.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise RenderError(f"cannot save {path.name!r}: the suffix must be one of {known}")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=RESOLUTION)
