"""What plain Python reads of an HDF5 file's structures is what h5py reads, and never endless."""

import io

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import FormatError
from actscope.store.hdf5.chunks import chunks_of
from actscope.store.hdf5.content import SPARE, Content
from actscope.store.hdf5.groups import EXTERNAL, HARD, SOFT
from actscope.store.hdf5.heaps import global_text
from actscope.store.hdf5.objects import Dataset, Group, open_object, open_root
from actscope.store.hdf5.storage import CHUNKED, COMPACT, CONTIGUOUS, VIRTUAL
from actscope.store.hdf5.types import BFLOAT16, TEXT
from actscope.store.layout import type_of


def image(fill, **words):
    content = io.BytesIO()
    with h5py.File(content, "w", **words) as file:
        fill(file)
    return content


def root_of(content):
    return open_root(Content(content, "image"))


def at(root, name):
    found = root
    for part in name.split("/"):
        link = found.links[part]
        assert link.kind == HARD
        found = open_object(root.content, f"{found.name}/{part}", link.address)
    return found


def text_of(target, name):
    kind, shape, data = target.attribute(name)
    assert shape == ()
    if kind == TEXT:
        return global_text(target.content, data[:16], 10**6, name).decode()
    return data[: int(kind[2:])].rstrip(b"\0").decode()


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NAMES = TEXTS.filter(lambda name: name not in ("", ".", "..") and "/" not in name)


@given(attributes=st.dictionaries(NAMES, TEXTS, max_size=30), is_fixed=st.booleans())
def test_texts_in_attributes(attributes, is_fixed):
    def fill(file):
        for name, value in attributes.items():
            file.attrs[name] = np.bytes_(value.encode()) if is_fixed and value else value

    root = root_of(image(fill))
    for name, value in attributes.items():
        assert text_of(root, name) == value
    assert root.attribute("other") is None


@given(
    st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1).map(np.int64),
            st.integers(0, 2**16 - 1).map(np.uint16),
            st.floats(width=32).map(np.float32),
            st.lists(st.integers(-99, 99), min_size=1, max_size=5).map(np.array),
        ),
        max_size=12,
    )
)
def test_numbers_in_attributes(values):
    def fill(file):
        group = file.create_group("g")
        for place, value in enumerate(values):
            group.attrs[f"{place:03}" + "x" * place] = value

    group = at(root_of(image(fill)), "g")
    for place, value in enumerate(values):
        kind, shape, data = group.attribute(f"{place:03}" + "x" * place)
        assert (kind, shape) == (value.dtype.str, value.shape)
        np.testing.assert_array_equal(np.frombuffer(data, kind, value.size).reshape(shape), value)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 300, 5000])
@pytest.mark.parametrize("ending", ["", " ü", " ü" * 150], ids=["ASCII", "not", "long"])
def test_members_of_groups_of_any_size(count, ending):
    names = [f"member {number}{ending}" for number in range(count)]

    def fill(file):
        group = file.create_group("group")
        for number, name in enumerate(names):
            group.attrs["of"] = count
            group.create_group(name).attrs["number"] = number

    root = root_of(image(fill))
    group = at(root, "group")
    assert isinstance(group, Group)
    assert list(group.links) == sorted(names)
    for number in {*range(0, count, 97), *range(max(0, count - 3), count)}:
        found = open_object(root.content, names[number], group.links[names[number]].address)
        kind, _, data = found.attribute("number")
        assert np.frombuffer(data, kind, 1)[0] == number


def test_links_that_lead_elsewhere_are_told_from_others():
    def fill(file):
        file["soft/in"] = 1
        file["soft/out"] = h5py.SoftLink("/elsewhere")
        file["external/in"] = 2
        file["external/out"] = h5py.ExternalLink("other.h5", "/data")
        file["external/soft"] = h5py.SoftLink("/elsewhere")

    root = root_of(image(fill))
    kinds = {
        name: {member: link.kind for member, link in at(root, name).links.items()}
        for name in ("soft", "external")
    }
    assert kinds["soft"] == {"in": HARD, "out": SOFT}
    assert kinds["external"] == {"in": HARD, "out": EXTERNAL, "soft": SOFT}
    assert isinstance(at(root, "external/in"), Dataset)


DTYPES = ["<f2", "<f4", "<f8", ">f4", "<i2", ">i8", "|i1", "|u1", "<u4", "|S7", "|b1"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4, 5)], ids=str)
def test_datasets_in_one_piece(dtype, shape):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    content = image(lambda file: file.create_dataset("d", data=values))
    dataset = at(root_of(content), "d")
    assert (dataset.type, dataset.shape, dataset.filters) == (dtype, shape, ())
    assert dataset.layout.kind == CONTIGUOUS
    if values.size:
        assert dataset.layout.size == values.nbytes
        found = np.empty(shape, dtype)
        dataset.content.fill(dataset.layout.offset, found)
        np.testing.assert_array_equal(found, values)


def test_other_types_are_not_taken_for_known_ones():
    def fill(file):
        file.create_dataset("text", (3,), h5py.string_dtype())
        file.create_dataset("list", (3,), h5py.vlen_dtype(np.int32))
        file.create_dataset("reference", (3,), h5py.ref_dtype)
        file.create_dataset("compound", (3,), [("a", "f4"), ("b", "i4")])
        file.create_dataset("enumeration", (3,), h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
        file.create_dataset("complex", (3,), "c8")
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"bfloat16", type_of("bfloat16"), space)
        odd = h5py.h5t.STD_I32LE.copy()
        odd.set_precision(17)
        h5py.h5d.create(file.id, b"odd", odd, space)
        file["named"] = np.dtype("<f4")

    root = root_of(image(fill))
    types = {name: at(root, name).type for name in root.links if name != "named"}
    assert types.pop("bfloat16") == BFLOAT16
    assert types.pop("text") == TEXT
    assert all(" of " in words for words in types.values()), types
    assert type(at(root, "named")) not in (Dataset, Group)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 33, 200])
@pytest.mark.parametrize("words", [{}, {"compression": "gzip", "shuffle": True}], ids=str)
def test_chunks(axes, count, words):
    shape, chunk = (count * 3, *(5,) * (axes - 1)), (3, *(2,) * (axes - 1))
    values = np.random.default_rng(0).random(shape)
    content = image(lambda f: f.create_dataset("d", data=values, chunks=chunk, **words))
    dataset = at(root_of(content), "d")
    assert dataset.layout.kind == CHUNKED
    assert dataset.layout.chunk == (*chunk, 8)
    assert dataset.filters == ((2, 1) if words else ())
    found = {
        piece.start: (piece.offset, piece.size, piece.mask)
        for piece in chunks_of(dataset.content, dataset.layout.offset, axes, "d")
    }
    with h5py.File(content, "r") as file:
        known = file["d"].id
        infos = map(known.get_chunk_info, range(known.get_num_chunks()))
        assert found == {
            info.chunk_offset: (info.byte_offset, info.size, info.filter_mask) for info in infos
        }


def test_how_else_datasets_may_be_stored():
    def fill(file):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "data", (4,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (4,), "f4", external=[("x", 0, h5py.h5f.UNLIMITED)])
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, creation)

    root = root_of(image(fill))
    assert at(root, "virtual").layout.kind == VIRTUAL
    assert at(root, "compact").layout.kind == COMPACT
    assert at(root, "external").is_external
    assert not at(root, "compact").is_external


def test_much_more_is_never_read_than_there_is():
    content = Content(io.BytesIO(bytes(1000)), "image")
    count = 0
    with pytest.raises(FormatError, match="share bytes, or lead round in circles"):
        while True:
            content.at(0, 1000, "/")
            count += 1
    assert count * 1000 < SPARE + 3000


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1001), (1000, 1), (999, 2), (2**63, 1), (0, 2**64), (10**6, 0)]
)
def test_nothing_is_read_beyond_the_end(offset, size):
    content = Content(io.BytesIO(bytes(1000)), "image")
    if size:
        with pytest.raises(FormatError, match=r"/layers: .* truncated or damaged"):
            content.at(offset, size, "/layers")
    else:
        assert content.at(offset, size, "/layers") == b""


def test_structures_over_the_edges_of_blocks():
    whole = np.random.default_rng(0).bytes(50_000)
    content = Content(io.BytesIO(whole), "image")
    for offset in range(0, 49_000, 777):
        for size in (1, 100, 9000):
            if offset + size <= len(whole):
                assert content.at(offset, size, "/") == whole[offset : offset + size]


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_end_in_an_error_or_an_answer(seed):
    random = np.random.default_rng(seed)

    def fill(file):
        for number in range(20):
            group = file.create_group(f"g{number}")
            group.attrs["text"] = "x" * number
            group.create_dataset("d", data=np.zeros((9, 4)), chunks=(2, 2), compression="gzip")

    good = image(fill).getvalue()
    for _ in range(40):
        content = bytearray(good)
        for place in random.integers(0, len(good), 8):
            content[place] = random.integers(0, 256)
        try:
            walk(root_of(io.BytesIO(bytes(content))))
        except FormatError:
            continue


def walk(group):
    for name, link in group.links.items():
        found = open_object(group.content, name, link.address)
        found.attribute("text")
        if isinstance(found, Group):
            walk(found)
        elif isinstance(found, Dataset):
            _ = found.shape, found.type, found.filters
            if found.layout is not None and found.layout.kind == CHUNKED:
                list(chunks_of(found.content, found.layout.offset, 2, name))
