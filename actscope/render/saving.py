"""Writes a figure to a file, whole or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from matplotlib.figure import Figure

from actscope.errors import MissingFileError, RenderError
from actscope.render.canvas import RESOLUTION

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
    with whole_or_not(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=RESOLUTION)


def checked_suffix(path: Path, formats: Sequence[str]) -> str:
    """The suffix of `path` in lower case, without its dot.

    Raises:
        RenderError: it is none of `formats`.
        MissingFileError: the folder of `path` does not exist.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in formats)
        raise RenderError(f"cannot save {path.name!r}: the suffix must be one of {known}")
    if not path.parent.is_dir():
        raise MissingFileError(f"cannot save {path}: the folder {path.parent} does not exist")
    return suffix


@contextmanager
def whole_or_not(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end; removed where writing fails."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
