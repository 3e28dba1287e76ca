"""Arguments and options that several commands have, in the same words."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Samples = int | slice | list[int | str]

_WHOLE = re.compile(r"-?[0-9]{1,18}")  # longer ones are no positions, and may be ids
_SAMPLES_FORMS = "a count such as 16, a slice such as 0:16, or a list such as 0,-1,digit-07"

file_argument = click.argument("file", type=click.Path(path_type=Path))
recording_output_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="HDF5 file."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")
progress_option = click.option(
    "--progress/--no-progress", default=None, help="By default on a terminal only."
)
layout_option = click.option(
    "--layout",
    default="sample",
    show_default=True,
    help="sample, or channel for reading one channel over all samples.",
)


def samples_option(words: str) -> Callable[[Any], Any]:
    """`--samples`, as a count, a slice or a list."""
    return click.option(
        "--samples",
        metavar="COUNT|FROM:TO|LIST",
        callback=lambda _context, _option, text: None if text is None else parse_samples(text),
        help=f"{words}: the first COUNT, those FROM:TO (or FROM:TO:STEP), or positions and ids set "
        "apart by commas.",
    )


def parse_sample(text: str) -> int | str:
    """A whole number is a position, anything else an id."""
    return int(text) if _WHOLE.fullmatch(text) else text


def parse_samples(text: str) -> Samples:
    """`"16"` as a count, `"0:16"` as a slice, `"0,-1,digit-07"` as a list of positions and ids.

    A comma at the end makes a list of a single one: `"3,"`.

    Raises:
        click.BadParameter: it is none of these.
    """
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return _count(text)
    ends = [end.strip() for end in text.split(":")]
    if len(ends) in (2, 3) and all(_WHOLE.fullmatch(end) or not end for end in ends):
        if len(ends) == 3 and ends[2] and int(ends[2]) == 0:
            raise click.BadParameter(f"{text!r} has a step of 0: name one above or below")
        return slice(*(int(end) if end else None for end in ends))
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(parts):
        raise click.BadParameter(f"{text!r} names no samples: give {_SAMPLES_FORMS}")
    return [parse_sample(part) for part in parts]


def _count(text: str) -> int:
    if int(text) > 0:
        return int(text)
    raise click.BadParameter(
        f"{text} is no count of samples: one position alone is written with a comma, {text},"
    )
