"""The command `actscope compare`: a thin skin over `actscope.compare`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actscope.command_options import overwrite_option
from actscope.errors import RenderError

if TYPE_CHECKING:
    from actscope.comparing.result import Comparison
    from actscope.store.reader import Recording

_PAGE = ".html"
_SUFFIXES = (_PAGE, ".png", ".pdf", ".svg", ".jpg")


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--tolerance",
    metavar="T",
    help="Largest relative difference, such as 1e-3, or the format that was computed in, such as "
    "tensorfloat32; by default it grows with depth and with the coarsest dtype.",
)
@click.option("--common", is_flag=True, help="Compare what both have where they differ in extent.")
@click.option(
    "--similarity",
    type=click.Choice(["cka", "rsa", "svcca"]),
    help="How alike each pair of layers is, for different models.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A page (.html), or a picture of the differences (.png, .pdf, .svg).",
)
@overwrite_option
def compare(
    a: Path, b: Path, as_json: bool, output: Path | None, overwrite: bool, **options: Any
) -> None:
    """Compare recordings A and B of the same samples, layer by layer.

    Ends with exit code 0 where all layers agree within the tolerance, 1 where they do not, and 2
    where they cannot be compared.
    """
    import actscope
    from actscope import listing
    from actscope.replacing import check_output

    if output is not None:
        _check_suffix(output)
        check_output(output, overwrite=overwrite)
    with actscope.open(a) as first, actscope.open(b) as second:
        comparison = actscope.compare(first, second, **options)
        if output is not None:
            _draw(comparison, first, second, output)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(listing.comparison_table(comparison))
    sys.exit(1 if comparison.within is False else 0)


def _check_suffix(output: Path) -> None:
    if output.suffix.lower() not in _SUFFIXES:
        raise RenderError(
            f"cannot save {output.name!r}: the suffix must be one of {', '.join(_SUFFIXES)}"
        )


def _draw(comparison: "Comparison", a: "Recording", b: "Recording", output: Path) -> None:
    from actscope import render

    if output.suffix.lower() == _PAGE:
        from actscope.comparing.page import write_page

        write_page(comparison, a, b, output)
    elif comparison.similarity is not None:
        render.save(render.similarity(comparison.similarity), output)
    else:
        render.save(render.differences(comparison), output)
