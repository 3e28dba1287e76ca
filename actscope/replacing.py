"""Writes a file whole or not at all: under another name beside it, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from actscope.errors import MissingFileError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path that becomes `path` in one step, and is gone where writing fails.

    Raises:
        MissingFileError: the folder does not exist.
    """
    if not path.parent.is_dir():
        raise MissingFileError(f"cannot save {path}: the folder {path.parent} does not exist")
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
