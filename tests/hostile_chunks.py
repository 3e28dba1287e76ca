"""Recordings in chunks that are broken or hostile, finished and unfinished, made from good ones."""

import io
import json
import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
from h5py import h5z
from isal.isal_zlib import crc32

from actscope.store.codecs import encode
from actscope.store.journal import _HEADER, _entry, partial_path

OUTPUT = "layers/conv2d/output"
"""Of shape (53, 6, 6, 4), float32, in chunks of 2 rows."""


# Finished recordings: the HDF5 file itself is wrong.


def _rebuilt(file, shape, chunk, filters, chunks=()):
    """Put a dataset of other storage in the place of the layer's, with the same attributes.

    `filters` are pairs of a number and values, `chunks` triples of place, bytes and filter mask.
    """
    old = file[OUTPUT]
    kept = {name: old.attrs[name] for name in old.attrs if not name.startswith("DIM")}
    del file[OUTPUT]
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(chunk)
    for number, values in filters:
        creation.set_filter(number, h5z.FLAG_OPTIONAL, values)
    space = h5py.h5s.create_simple(shape)
    made = h5py.h5d.create(
        file["layers/conv2d"].id, b"output", h5py.h5t.IEEE_F32LE, space, dcpl=creation
    )
    kept["unreduced-shape"] = np.array(shape[1:])
    words = {**json.loads(kept["summary"]), "unreduced-shape": shape[1:]}
    dataset = h5py.Dataset(made)
    dataset.attrs.update(kept | {"summary": np.bytes_(json.dumps(words).encode())})
    for place, content, mask in chunks:
        made.write_direct_chunk(place, bytes(content), mask)


def _with_payload(values, mask=0):
    """All chunks there, each of them of these values, whose number may be wrong."""
    content = encode(values, "zstd")

    def change(file):
        chunks = [((row, 0, 0, 0), content, mask) for row in range(0, 53, 2)]
        _rebuilt(file, (53, 6, 6, 4), (2, 6, 6, 4), [(2, (4,)), (32015, (1,))], chunks)

    return change


def _with_filters(*numbers):
    def change(file):
        content = bytes(2 * 6 * 6 * 4 * 4)
        chunks = [((row, 0, 0, 0), content, 0) for row in range(0, 53, 2)]
        filters = [(number, (4, 1)) for number in numbers]
        _rebuilt(file, (53, 6, 6, 4), (2, 6, 6, 4), filters, chunks)

    return change


def _bomb(rows_per_chunk):
    """A terabyte, more or less, that zstd makes of a few kilobytes."""
    shape = (53, 2048, 4096, 1)
    content = encode(np.zeros((rows_per_chunk, *shape[1:]), np.float32), "zstd")

    def change(file):
        chunks = [((row, 0, 0, 0), content, 0) for row in range(0, 53, rows_per_chunk)]
        _rebuilt(file, shape, (rows_per_chunk, *shape[1:]), [(32015, (1,))], chunks)

    return change


def missing_chunks(file):
    content = encode(np.zeros((2, 6, 6, 4), np.float32), "zstd")
    chunks = [((row, 0, 0, 0), content, 0) for row in range(0, 40, 2)]
    _rebuilt(file, (53, 6, 6, 4), (2, 6, 6, 4), [(2, (4,)), (32015, (1,))], chunks)


def the_same_chunks_twice(file):
    del file[OUTPUT].attrs["summary"]
    file.create_group("layers/copy")
    for key, value in file["layers/conv2d"].attrs.items():
        file["layers/copy"].attrs[key] = "copy" if key == "path" else value
    file["layers/copy/output"] = file[OUTPUT]


def chunks_of_no_bytes(file):
    _rebuilt(file, (53, 6, 6, 4), (2, 6, 6, 4), [])


FINISHED = {
    "missing_chunks": missing_chunks,
    "no_chunks_at_all": chunks_of_no_bytes,
    "the_same_chunks_twice": the_same_chunks_twice,
    "bomb_of_large_chunks": _bomb(1),
    "bomb_of_chunks_that_are_too_large": _bomb(2),
    "chunks_that_decode_to_more": _with_payload(np.zeros((3, 6, 6, 4), np.float32)),
    "chunks_that_decode_to_much_more": _with_payload(np.zeros((9000, 6, 6, 4), np.float32)),
    "chunks_that_decode_to_less": _with_payload(np.zeros((1, 6, 6, 4), np.float32)),
    "chunks_that_lack_a_filter": _with_payload(np.zeros((2, 6, 6, 4), np.float32), mask=1),
    "lzf": _with_filters(32000),
    "szip": _with_filters(4),
    "nbit": _with_filters(5),
    "scaleoffset": _with_filters(6),
    "fletcher32": _with_filters(3),
    "plug_in": _with_filters(32001),
    "unknown_filter": _with_filters(65535),
    "filters_in_another_order": _with_filters(1, 2),
    "filters_twice": _with_filters(2, 2),
    "two_codecs": _with_filters(1, 32015),
}


def _place_of_chunk(path, number):
    with h5py.File(path) as file:
        return file[OUTPUT].id.get_chunk_info(number).byte_offset


def _swapped(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def overlapping_chunks(path):
    first, second = (struct.pack("<Q", _place_of_chunk(path, number)) for number in (0, 1))
    _swapped(path, second, first)


def a_chunk_in_the_middle_of_another(path):
    place = _place_of_chunk(path, 1)
    _swapped(path, struct.pack("<Q", place), struct.pack("<Q", place + 5))


def a_chunk_beyond_the_end(path):
    place = _place_of_chunk(path, 1)
    _swapped(path, struct.pack("<Q", place), struct.pack("<Q", 2**50))


def _layout_message(path):
    """The place of the message that says how the dataset is cut into chunks: version 3, chunked."""
    content = path.read_bytes()
    pattern = struct.pack("<IIIII", 2, 6, 6, 4, 4)
    place = content.index(pattern)
    assert content[place - 11 : place - 8] == b"\x03\x02\x05"
    return bytearray(content), place


def chunks_of_fewer_axes(path):
    content, place = _layout_message(path)
    content[place - 9] = 4
    path.write_bytes(content)


def chunks_of_no_length(path):
    content, place = _layout_message(path)
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)


def chunks_of_enormous_length(path):
    content, place = _layout_message(path)
    content[place : place + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)


PATCHED = [
    overlapping_chunks,
    a_chunk_in_the_middle_of_another,
    a_chunk_beyond_the_end,
    chunks_of_fewer_axes,
    chunks_of_no_length,
    chunks_of_enormous_length,
]
CASES = [*FINISHED, *(change.__name__ for change in PATCHED)]


def make(case, good: Path, path: Path) -> Path:
    """A copy of the good finished recording with one thing wrong."""
    shutil.copy(good, path)
    if case in FINISHED:
        with h5py.File(path, "r+") as file:
            FINISHED[case](file)
    else:
        next(change for change in PATCHED if change.__name__ == case)(path)
    return path


# Unfinished recordings: the journal is wrong. Its checksums are right: whoever wrote it, meant it.


def entries(journal: Path):
    """The words and the payload of every entry."""
    content, place, found = journal.read_bytes(), 0, []
    while place < len(content):
        _, _, length, more = _HEADER.unpack_from(content, place)
        place += _HEADER.size
        words = json.loads(content[place : place + length])
        found.append((words, content[place + length : place + length + more]))
        place += length + more
    return found


def put(journal: Path, parts):
    journal.write_bytes(b"".join(_entry(words, [payload]) for words, payload in parts))


def _with_words(number, **changes):
    def change(path):
        parts = entries(partial_path(path))
        parts[number][0].update(changes)
        put(partial_path(path), parts)

    return change


def _with_chunk(place, value):
    """The first chunk of the last commit that has some: its number, offset or size is another."""

    def change(path):
        parts = entries(partial_path(path))
        words = next(words for words, _ in reversed(parts) if words.get("chunks"))
        next(iter(words["chunks"].values()))[0][place] = value
        put(partial_path(path), parts)

    return change


def _with_tail(place, change_of):
    def change(path):
        parts = entries(partial_path(path))
        tail = next(tail for tail in parts[-1][0]["tails"] if tail[2])
        tail[place] = change_of(tail[place])
        put(partial_path(path), parts)

    return change


def chunks_that_overlap(path):
    parts = entries(partial_path(path))
    words = next(words for words, _ in reversed(parts) if len(words.get("chunks", ())) > 1)
    first, second, *_ = words["chunks"].values()
    second[0][1] = first[0][1] + 1
    put(partial_path(path), parts)


def chunks_left_out(path):
    parts = entries(partial_path(path))
    parts[1][0]["chunks"] = {}
    put(partial_path(path), parts)


def checksums_left_out(path):
    parts = entries(partial_path(path))
    parts[1][0]["blocks"] = {}
    put(partial_path(path), parts)


def entries_out_of_order(path):
    first, *commits = entries(partial_path(path))
    put(partial_path(path), [first, *commits[::-1]])


def an_entry_twice(path):
    parts = entries(partial_path(path))
    put(partial_path(path), [*parts, parts[1]])


def the_last_entry_twice(path):
    parts = entries(partial_path(path))
    parts[-1][0]["blocks"] = parts[1][0]["blocks"]
    put(partial_path(path), [*parts, parts[-1]])


def an_enormous_text(path):
    journal = partial_path(path)
    content = bytearray(journal.read_bytes())
    content[12:20] = struct.pack("<Q", 2**60)
    journal.write_bytes(content)


def nested_text(path):
    parts = entries(partial_path(path))
    parts[1][0]["rows"] = "NEST"
    entry = _entry(*(parts[1][0], [parts[1][1]]))
    text = entry[_HEADER.size : len(entry) - len(parts[1][1])]
    text = text.replace(b'"NEST"', b"[" * 100_000 + b"]" * 100_000)
    header = _HEADER.pack(b"actscope", crc32(text), len(text), len(parts[1][1]))
    put(partial_path(path), parts[:1])
    with partial_path(path).open("ab") as file:
        file.write(header + text + parts[1][1])


def no_object(path):
    put(partial_path(path), entries(partial_path(path))[:1])
    text = b"[1, 2, 3]"
    with partial_path(path).open("ab") as file:
        file.write(_HEADER.pack(b"actscope", crc32(text), len(text), 0) + text)


def _with_skeleton(change_of):
    def change(path):
        (words, skeleton), *commits = entries(partial_path(path))
        content = io.BytesIO(skeleton)
        with h5py.File(content, "r+") as file:
            change_of(file)
        put(partial_path(path), [(words, content.getvalue()), *commits])

    return change


def _linked_out(file):
    del file[OUTPUT]
    file[OUTPUT] = h5py.ExternalLink("secret.h5", "/data")


def _in_one_piece(file):
    old = file[OUTPUT]
    kept = {name: old.attrs[name] for name in old.attrs if not name.startswith("DIM")}
    del file[OUTPUT]
    file[OUTPUT] = np.zeros((53, 6, 6, 4), "<f4")
    file[OUTPUT].attrs.update(kept)


def no_skeleton(path):
    parts = entries(partial_path(path))
    put(partial_path(path), [(parts[0][0], b"not HDF5"), *parts[1:]])


def chunks_by_a_link(path):
    chunks = path.with_name(f"{path.name}.chunks-0")
    chunks.rename(path.with_name("elsewhere"))
    chunks.symlink_to(path.with_name("elsewhere"))


def chunks_cut_off(path):
    chunks = path.with_name(f"{path.name}.chunks-0")
    chunks.write_bytes(chunks.read_bytes()[:-2000])


def chunks_taken_away(path):
    path.with_name(f"{path.name}.chunks-0").unlink()


UNFINISHED = {
    "negative_rows": _with_words(1, rows=-1),
    "rows_of_a_fraction": _with_words(-1, rows=30.5),
    "rows_as_text": _with_words(-1, rows="30"),
    "rows_as_truth": _with_words(-1, rows=True),
    "no_rows": _with_words(-1, rows=None),
    "too_many_rows": _with_words(-1, rows=52),
    "more_rows_than_planned": _with_words(-1, rows=54),
    "enormous_rows": _with_words(-1, rows=2**62),
    "rows_beyond_64_bits": _with_words(-1, rows=2**80),
    "generation_as_a_path": _with_words(0, generation="0/../../secret"),
    "generation_as_a_list": _with_words(0, generation=[0]),
    "another_generation": _with_words(0, generation=7),
    "negative_generation": _with_words(0, generation=-1),
    "enormous_generation": _with_words(0, generation=10**300),
    "chunks_as_a_list": _with_words(1, chunks=[1, 2]),
    "blocks_as_text": _with_words(1, blocks="many"),
    "chunk_of_a_negative_number": _with_chunk(0, -1),
    "chunk_of_another_number": _with_chunk(0, 10**6),
    "chunk_before_the_file": _with_chunk(1, -4096),
    "chunk_beyond_the_file": _with_chunk(1, 2**50),
    "chunk_of_negative_size": _with_chunk(2, -1),
    "chunk_of_no_size": _with_chunk(2, 0),
    "chunk_of_enormous_size": _with_chunk(2, 2**62),
    "tail_of_another_dataset": _with_tail(0, lambda _: "/layers/other/output"),
    "tail_of_later_rows": _with_tail(1, lambda first: first + 1),
    "tail_of_more_rows": _with_tail(2, lambda rows: rows + 1),
    "tail_of_enormous_rows": _with_tail(2, lambda _: 2**60),
    "tail_of_fewer_bytes": _with_tail(3, lambda size: size - 1),
    "tail_of_more_bytes": _with_tail(3, lambda size: size + 1),
    "tail_of_enormous_size": _with_tail(3, lambda _: 2**60),
    "skeleton_with_a_link_out": _with_skeleton(_linked_out),
    "skeleton_in_one_piece": _with_skeleton(_in_one_piece),
    **{
        change.__name__: change
        for change in (
            chunks_that_overlap,
            chunks_left_out,
            checksums_left_out,
            entries_out_of_order,
            an_entry_twice,
            the_last_entry_twice,
            an_enormous_text,
            nested_text,
            no_object,
            no_skeleton,
            chunks_by_a_link,
            chunks_cut_off,
            chunks_taken_away,
        )
    },
}


def make_unfinished(case, good: Path, path: Path) -> Path:
    """A copy of the good unfinished recording with one thing wrong."""
    for file in good.parent.iterdir():
        if file.name.startswith(f"{good.name}."):
            shutil.copy(file, path.with_name(file.name.replace(good.name, path.name)))
    UNFINISHED[case](path)
    return path
