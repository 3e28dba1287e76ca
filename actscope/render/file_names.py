"""Names files after layers and samples, whatever these are called. Pure: no file is touched."""

import re
from collections.abc import Sequence
from pathlib import Path

_UNSAFE = re.compile(r"[^\w]+")
_MOST_BYTES = 80  # of each of a name's two parts: file systems take 255 for the whole


def safe_part(text: str) -> str:
    """Letters and digits of `text` in any script, all else as single dashes; may be empty.

    It holds no dot, slash or blank, so that as a part of a file's name it leads nowhere, hides
    nothing, and means nothing to a shell.
    """
    written = _UNSAFE.sub("-", text).encode("utf-8")[:_MOST_BYTES]
    return written.decode("utf-8", "ignore").strip("-")


def picture_paths(
    folder: Path, layers: Sequence[str], samples: Sequence[int], ids: Sequence[str], count: int
) -> list[list[Path]]:
    """A path for each sample of each layer, such as `folder/conv2d-0007-digit-07.png`.

    A sample's position makes names different where ids are not, and a layer's number does where
    there are several layers. They sort in that order.

    Args:
        folder: where they all are.
        layers: the layers' names; one empty name where pictures are of no single layer.
        samples: positions.
        ids: of all samples, or empty.
        count: how many samples there are, which says how many digits a position has.
    """
    digits, layer_digits = len(str(max(0, count - 1))), len(str(len(layers)))
    paths = []
    for number, layer in enumerate(layers, 1):
        first = f"{number:0{layer_digits}}" if len(layers) > 1 else ""
        stem = [part for part in (first, safe_part(layer) or "picture") if part]
        paths.append(
            [
                folder / f"{'-'.join([*stem, f'{sample:0{digits}}', *_id_part(ids, sample)])}.png"
                for sample in samples
            ]
        )
    return paths


def _id_part(ids: Sequence[str], sample: int) -> list[str]:
    part = safe_part(ids[sample]) if ids else ""
    return [part] if part else []
