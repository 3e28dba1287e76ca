"""Writes a file whole or not at all, and over another only where that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from actscope.errors import MissingFileError, OutputExistsError


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists.

    Raises:
        OutputExistsError: the file exists and `overwrite` is false, or it is a folder.
    """
    check_no_folder(path)
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists: choose another name, or overwrite it (overwrite=True, --overwrite)"
        )


def check_no_folder(path: Path) -> None:
    """Refuse a folder where a file is to be written.

    Raises:
        OutputExistsError: it is one.
    """
    if path.is_dir():
        raise OutputExistsError(
            f"{path} is a folder: name a file to write, such as {path / 'run.h5'}"
        )


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
