"""A reader written from docs/format.md, with h5py alone; whether `actscope.open` agrees with it.

After each test it reads every sound recording that the test has left in its folder (conftest.py).
"""

import h5py
import hdf5plugin  # noqa: F401 - gives HDF5 its zstd
import numpy as np

import actscope
from actscope.errors import ActscopeError
from actscope.store.verification import findings


def read(path):
    """A reader written from docs/format.md, with h5py alone: a dict of all that is recorded."""
    found = {}
    with h5py.File(path, "r") as file:
        assert file.attrs["encoding-type"] == "actscope"
        assert file.attrs["encoding-version"].split(".")[0] == "1"
        rows = file["rows"][0]
        for name, dataset in file["samples"].items():
            if name in ("id", "label", "epoch"):
                values = dataset[:rows]
                found[name] = np.char.decode(values) if values.dtype.kind == "S" else values
            elif dataset.attrs.get("encoding-type") == "input":
                found["input", dataset.attrs["key"]] = dataset[:rows]
        for group in file["layers"].values():
            for name, member in group.items():
                if name.partition("_")[0] == "statistics" and rows == len(file["sample"]):
                    found[name, group.attrs["path"]] = member["mean"][:]
                elif name.partition("_")[0] in ("output", "gradient"):
                    words = [member.attrs[word] for word in ("call", "index", "key", "reduction")]
                    kind = member.attrs["encoding-type"]
                    values = member[:rows]  # bfloat16 comes as float32
                    if member.attrs["dtype"] == "bool":
                        values = values.astype(bool)
                    found[kind, group.attrs["path"], *map(str, words)] = values
    return found


def opened(path):
    """The same as `actscope.open` has it."""
    recording = actscope.open(path)
    columns = {"id": recording.ids, "label": recording.labels, "epoch": recording.epochs}
    found = {name: np.array(values) for name, values in columns.items() if values is not None}
    if not recording.ids:
        del found["id"]
    found |= {("input", tensor.name): tensor[:] for tensor in recording.inputs}
    for output in (output for name in recording for output in recording.outputs(name)):
        words = (str(output.call), str(output.index), output.key, output.reduction)
        kept = recording.kept_statistics(output._tensor)
        if kept is not None and recording.complete:
            name = output._tensor.dataset.rpartition("/")[2].replace("output", "statistics")
            found[name, output.path] = kept.mean
        if output.is_stored:
            found["activation", output.path, *words] = output[:]
        if output.gradient is not None:
            found["gradient", output.path, *words] = output.gradient[:]
    return found


def agrees_with_actscope(path):
    by_hand, by_actscope = read(path), opened(path)
    assert by_actscope.keys() == by_hand.keys()
    for key, array in by_hand.items():
        np.testing.assert_array_equal(by_actscope[key], array)


def recordings_in(folder):
    """The sound recordings in a folder that are finished."""
    for path in folder.rglob("*.h5"):
        try:
            with actscope.open(path) as recording:
                sound = recording.complete and not findings(path)
        except ActscopeError:
            continue
        if sound:
            yield path
