"""Recordings that are broken or hostile, each made from a good one."""

import shutil
from pathlib import Path

import h5py
import numpy as np

LAYER = "layers/conv2d"
OUTPUT = f"{LAYER}/output"


def _replaced(file, name, make):
    """Put another object in the place of one, with its attributes."""
    old = file[name]
    attributes = {key: old.attrs[key] for key in old.attrs if not key.startswith("DIM")}
    attributes = {
        k: v for k, v in attributes.items() if k not in ("CLASS", "NAME", "REFERENCE_LIST")
    }
    shape = old.shape
    del file[name]
    new = make(file, name, shape)
    for key, value in attributes.items():
        new.attrs[key] = value


def without_summaries(file):
    """What another writer may leave out: the attributes themselves count then."""
    for group in file["layers"].values():
        for dataset in group.values():
            dataset.attrs.pop("summary", None)


def external_link(file):
    del file[OUTPUT]
    file[OUTPUT] = h5py.ExternalLink("secret.h5", "/data")


def soft_link_out_of_the_group(file):
    file.move(OUTPUT, "elsewhere")
    file[OUTPUT] = h5py.SoftLink("/elsewhere")


def virtual_dataset(file):
    def make(file, name, shape):
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource("secret.h5", "data", shape)
        return file.create_virtual_dataset(name, layout)

    _replaced(file, OUTPUT, make)


def external_storage(file):
    _replaced(
        file,
        OUTPUT,
        lambda f, name, shape: f.create_dataset(
            name, shape, "f4", external=[("secret.bin", 0, h5py.h5f.UNLIMITED)]
        ),
    )


def enormous_shape(file):
    def make(file, name, shape):
        return file.create_dataset(name, (shape[0], 2**20, 2**20, 4), "f4", chunks=(1, 64, 64, 4))

    _replaced(file, OUTPUT, make)


def chunk_of_zeros(file):
    def make(file, name, shape):
        return file.create_dataset(
            name,
            (shape[0], 4096, 4096),
            "f4",
            chunks=(1, 4096, 4096),
            compression="gzip",
            data=None,
        )

    _replaced(file, OUTPUT, make)


def hard_link_cycle(file):
    file[f"{LAYER}/again"] = file["layers"]
    file["layers/cycle"] = file["/"]


def the_same_dataset_twice(file):
    file.create_group("layers/copy")
    for key, value in file[LAYER].attrs.items():
        file["layers/copy"].attrs[key] = "copy" if key == "path" else value
    file["layers/copy/output"] = file[OUTPUT]


def deep_nesting(file):
    group = file["layers"]
    for _ in range(2000):
        group = group.create_group("g")


def many_groups(file):
    for number in range(20_000):
        file["layers"].create_group(f"g{number}")


def _dtype(dtype):
    def change(file):
        _replaced(file, OUTPUT, lambda f, name, shape: f.create_dataset(name, shape[:1], dtype))

    return change


def other_number_of_rows(file):
    def make(file, name, shape):
        return file.create_dataset(name, data=np.zeros((shape[0] + 1, *shape[1:]), "f4"))

    _replaced(file, OUTPUT, make)


def other_logical_dtype(file):
    without_summaries(file)
    file[OUTPUT].attrs["dtype"] = "float16"


def unknown_logical_dtype(file):
    without_summaries(file)
    file[OUTPUT].attrs["dtype"] = "float1024"


def missing_attribute(file):
    without_summaries(file)
    del file[OUTPUT].attrs["order"]


def attribute_of_another_kind(file):
    without_summaries(file)
    file[LAYER].attrs["path"] = np.arange(5)


def huge_attribute(file):
    without_summaries(file)
    # Past 64 KiB HDF5 keeps it outside of the header.
    file[LAYER].attrs.create("path", "x" * 60_000)


def summary_that_is_no_json(file):
    file[OUTPUT].attrs["summary"] = np.bytes_(b"{")


def summary_of_another_kind(file):
    file[OUTPUT].attrs["summary"] = np.bytes_(b'{"order": "first", "axes": ["sample"]}')


def summary_without_end(file):
    file[OUTPUT].attrs["summary"] = "x" * 50_000


def provenance_that_is_no_json(file):
    file.attrs["provenance"] = "not JSON"


def provenance_of_many_values(file):
    file.attrs["provenance"] = '{"data": {"parts": [' + "[]," * 2_000_000 + "0]}}"


def provenance_of_another_kind(file):
    file.attrs["provenance"] = '{"model": "a name"}'


def batch_size_that_is_no_number(file):
    file.attrs["provenance"] = '{"batch-size": [32]}'


def path_that_is_no_text(file):
    without_summaries(file)
    file[LAYER].attrs["path"] = np.bytes_(b"conv\xff")


def ids_that_are_no_text(file):
    file["samples/id"][3] = b"\xff\xfe"


def shape_without_bytes(file):
    _replaced(file, OUTPUT, lambda f, name, s: f.create_dataset(name, (s[0], 0, 2**40, 4), "f4"))


def many_links_out(file):
    """So many that HDF5 keeps the names in a newer way."""
    for number in range(500):
        file[f"layers/link{number}"] = h5py.ExternalLink("secret.h5", "/data")


def name_of_two_lines(file):
    del file[OUTPUT].attrs["order"]
    without_summaries(file)
    file.move(LAYER, "layers/first\n\x1b[2Jsecond")


def negative_rows(file):
    file["rows"][0] = -1


def too_many_rows(file):
    file["rows"][0] = 10**9


def newer_version(file):
    file.attrs["encoding-version"] = "2.0.0"


def no_version(file):
    file.attrs["encoding-version"] = "one"


def of_another_program(file):
    file.attrs["encoding-type"] = "anndata"


def no_layers(file):
    del file["layers"]


def rows_as_text(file):
    del file["rows"]
    file["rows"] = np.array([b"12"])


CHANGES = [
    external_link,
    soft_link_out_of_the_group,
    virtual_dataset,
    external_storage,
    enormous_shape,
    chunk_of_zeros,
    hard_link_cycle,
    the_same_dataset_twice,
    deep_nesting,
    many_groups,
    other_number_of_rows,
    other_logical_dtype,
    unknown_logical_dtype,
    missing_attribute,
    attribute_of_another_kind,
    huge_attribute,
    summary_that_is_no_json,
    summary_of_another_kind,
    summary_without_end,
    provenance_that_is_no_json,
    provenance_of_many_values,
    provenance_of_another_kind,
    batch_size_that_is_no_number,
    path_that_is_no_text,
    ids_that_are_no_text,
    shape_without_bytes,
    many_links_out,
    name_of_two_lines,
    negative_rows,
    too_many_rows,
    newer_version,
    no_version,
    of_another_program,
    no_layers,
    rows_as_text,
]
DTYPES = {
    "texts_of_any_length": h5py.string_dtype(),
    "lists_of_any_length": h5py.vlen_dtype(np.int32),
    "references": h5py.ref_dtype,
    "opaque": np.dtype("V8"),
    "compound": np.dtype([("a", "f4"), ("b", "i4")]),
}
CASES = {change.__name__: change for change in CHANGES} | {
    name: _dtype(dtype) for name, dtype in DTYPES.items()
}


def make(case: str, good: Path, path: Path) -> Path:
    """A copy of the good recording with one thing wrong; the files it leads to stand beside it."""
    shutil.copy(good, path)
    with h5py.File(path.with_name("secret.h5"), "w") as secret:
        secret["data"] = np.full((12, 6, 6, 4), 42, "f4")
    path.with_name("secret.bin").write_bytes(np.full(12 * 6 * 6 * 4, 42, "f4").tobytes())
    with h5py.File(path, "r+") as file:
        CASES[case](file)
    return path
