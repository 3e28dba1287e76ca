"""Opens what a user names as data on the command line: arrays in files, or a folder of images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actscope.errors import DataError, MissingFileError, nearest
from actscope.feed import to_numpy
from actscope.protocol import Array, InputInfo

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LABEL_NAMES = ("labels", "label", "y")
HDF5_SUFFIXES = (".h5", ".hdf5", ".he5")


@dataclass(frozen=True)
class Source:
    """Data with what is known of their samples.

    Attributes:
        data: an array, or a dict of arrays by input name.
        ids: a name for each sample, or none.
        labels: a label for each sample, or None.
    """

    data: Any
    ids: tuple[str, ...] = ()
    labels: Array | None = None


def open_source(name: str, inputs: Sequence[InputInfo] | None) -> Source:
    """The data that `name` stands for.

    Args:
        name: a `.npy` file, a `.npz` file (or one array in it, `file.npz:name`), a dataset in an
            HDF5 file (`file.h5:path`), or a folder of images.
        inputs: the model's declared inputs, where it has any: images are resized to the first,
            and the arrays of a `.npz` are found by these names.

    Raises:
        MissingFileError: there is no such file or folder.
        DataError: it holds nothing that can be used.
    """
    path, part = _split(name)
    if not path.exists():
        raise MissingFileError(f"{path} does not exist: name a .npy, .npz or HDF5 file or a folder")
    if path.is_dir():
        return _open_folder(path, inputs)
    openers: dict[str, Callable[[], Source]] = {
        ".npy": lambda: Source(_open_npy(path)),
        ".npz": lambda: _open_npz(path, part, inputs),
        **dict.fromkeys(HDF5_SUFFIXES, lambda: Source(_open_hdf5(path, part))),
    }
    if path.suffix.lower() not in openers:
        raise DataError(
            f"{path} is of no known kind: give .npy, .npz, an HDF5 dataset as file.h5:path, "
            "or a folder of images"
        )
    return openers[path.suffix.lower()]()


def _split(name: str) -> tuple[Path, str]:
    """`file.h5:path/in/it` as the file and the part; a name that exists is a file as it stands."""
    file, colon, part = name.rpartition(":")
    if (
        not colon
        or Path(name).exists()
        or Path(file).suffix.lower()
        not in (
            ".npz",
            *HDF5_SUFFIXES,
        )
    ):
        return Path(name), ""
    return Path(file), part


def _open_npy(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a .npy array: {error}") from error
    return array


def _open_npz(path: Path, part: str, inputs: Sequence[InputInfo] | None) -> Source:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            chosen = _choose(path, names, part, inputs)
            data = {name: to_numpy(archive[name]) for name in chosen}
            label = next((n for n in LABEL_NAMES if n in names and n not in chosen), None)
            labels = None if label is None else archive[label]
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise DataError(f"{path} cannot be read as a .npz archive: {error}") from error
    single = len(data) == 1
    return Source(next(iter(data.values())) if single else data, labels=labels)


def _choose(
    path: Path, names: Sequence[str], part: str, inputs: Sequence[InputInfo] | None
) -> list[str]:
    """The arrays of an archive that are the model's inputs."""
    if part:
        if part not in names:
            raise DataError(f"{path} has no array {part!r}: {nearest(part, names)}")
        return [part]
    wanted = [info.name for info in inputs or ()]
    if wanted and all(name in names for name in wanted):
        return wanted
    candidates = [name for name in names if name not in LABEL_NAMES]
    if len(candidates) == 1:
        return candidates
    raise DataError(
        f"{path} holds {names}: name the one to use as {path.name}:NAME, or save arrays under the "
        f"names of the model's inputs{', ' + str(wanted) if wanted else ''}"
    )


def _open_hdf5(path: Path, part: str) -> Any:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} cannot be read as an HDF5 file: {error}") from error
    datasets = list(_datasets(file))
    if not part and len(datasets) == 1:
        part = datasets[0]
    if part.strip("/") not in datasets:
        raise DataError(
            f"{path} has no dataset {part!r}: {nearest(part, datasets)} (write {path.name}:NAME)"
        )
    return file[part]


def _datasets(group: Any, prefix: str = "") -> Iterator[str]:
    """The paths of the datasets in an HDF5 group; links out of it are not followed."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        if isinstance(group[name], h5py.Dataset):
            yield prefix + name
        elif isinstance(group[name], h5py.Group) and prefix.count("/") < 16:
            yield from _datasets(group[name], f"{prefix}{name}/")


def _open_folder(path: Path, inputs: Sequence[InputInfo] | None) -> Source:
    files = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if not files:
        raise DataError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    images = ImageFolder(tuple(files), *_image_shape(inputs))
    return Source(images, ids=tuple(file.relative_to(path).as_posix() for file in files))


def _image_shape(inputs: Sequence[InputInfo] | None) -> tuple[tuple[int, int, int], bool]:
    """Height, width and channels of the model's input, and whether channels come first."""
    shape = inputs[0].shape if inputs and len(inputs) == 1 else None
    if shape is None or len(shape) != 4:
        declared = [(info.name, info.shape) for info in inputs or ()]
        raise DataError(
            f"images need a model with one input (N, height, width, channels); "
            f"this one declares {declared or 'none'}"
        )
    channels_first = shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4)
    channels, height, width = shape[1:] if channels_first else (shape[3], *shape[1:3])
    if height is None or width is None or channels not in (1, 3, 4):
        raise DataError(
            f"images cannot be resized to the model's input {shape}: it must have a fixed height "
            "and width and 1, 3 or 4 channels; give an array instead"
        )
    return (height, width, channels), channels_first


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder as one array that is decoded when it is sliced.

    Values are float32 from 0 to 255, as Keras's own image loading gives them.
    """

    files: tuple[Path, ...]
    size: tuple[int, int, int]
    channels_first: bool
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W, C)`, or `(N, C, H, W)` where channels come first."""
        height, width, channels = self.size
        inner = (channels, height, width) if self.channels_first else (height, width, channels)
        return (len(self.files), *inner)

    def __getitem__(self, rows: slice) -> Array:
        images = np.stack([_decode(file, self.size) for file in self.files[rows]])
        return images.transpose(0, 3, 1, 2) if self.channels_first else images


def _decode(path: Path, size: tuple[int, int, int]) -> Array:
    from PIL import Image

    height, width, channels = size
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    try:
        with Image.open(path) as image:
            resized = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    return np.asarray(resized, dtype=np.float32).reshape(height, width, channels)
