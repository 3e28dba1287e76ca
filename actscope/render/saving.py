"""Writes a figure to a file, whole or not at all."""

from collections.abc import Sequence
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
    suffix = checked_suffix(path, FORMATS)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=RESOLUTION)


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
