import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.store import checksums
from actscope.store.checking import check
from actscope.store.checksums import ChecksumPlan, RunningChecksum, covering, free_slot
from actscope.store.findings import Finding
from actscope.store.writer import Writer
from recordings import Example


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 1500)  # 2 rows of conv2d, 35 of tokens


@given(
    batches=st.lists(st.integers(0, 7), max_size=9),
    rows_per_block=st.integers(1, 6),
    missing=st.integers(0, 3),
    resumed_at=st.integers(0, 9),
)
def test_every_committed_row_is_covered_once_by_its_own_checksum(
    batches, rows_per_block, missing, resumed_at
):
    samples = sum(batches) + missing
    rows = np.random.default_rng(0).integers(0, 99, (samples, 3), np.uint8)
    plan = ChecksumPlan("0", "/t", rows_per_block, -(-samples // rows_per_block))
    running = RunningChecksum(plan, (3, samples))
    entries, slots = [0] * plan.entries, [0, 0]
    committed = 0
    for position, size in enumerate(batches):
        running.update(memoryview(rows[committed : committed + size].tobytes()))
        first, full = running.take_full()
        entries[2 + first : 2 + first + len(full)] = full
        slot = free_slot(slots, committed)
        entries[slot] = running.open
        assert len(entries) == plan.entries
        before = list(covering(entries, slots, rows_per_block, samples, committed))
        committed, slots[slot] = committed + size, committed + size
        after = list(covering(entries, slots, rows_per_block, samples, committed))
        for known, count in ((before, committed - size), (after, committed)):
            # The old count and the new one both find good checksums, whichever is in the file.
            assert [row for start, stop, _ in known for row in range(start, stop)] == [
                *range(count)
            ]
            assert all(zlib.crc32(rows[a:b].tobytes()) == crc for a, b, crc in known)
        if position == resumed_at:
            running = RunningChecksum(plan, (3, samples), committed, running.open)


def test_a_block_without_a_good_slot_is_not_covered():
    assert list(covering([7, 8, 1, 2], [9, 3], 4, 10, 6)) == [(0, 4, 1)]


def test_blocks_hold_what_fits_into_their_bytes_and_at_least_a_row(example, small_blocks):
    plans = checksums.plan_checksums(example.plan)
    assert [(p.tensor, p.rows_per_block, p.blocks) for p in plans] == [
        ("/samples/input", 5, 3),
        ("/layers/conv2d/output", 2, 6),
        ("/layers/block.dense/output", 75, 1),
        ("/layers/tokens/output", 35, 1),
    ]


def flip(path, dataset, row):
    with h5py.File(path) as file:
        data = file[dataset]
        offset = data.id.get_offset() + row * (data.id.get_storage_size() // len(data)) + 1
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))


@pytest.mark.parametrize("upto", [3, 5, 7, 10, 12])
def test_a_changed_bit_in_committed_rows_is_found_and_none_elsewhere(tmp_path, small_blocks, upto):
    for row in (0, upto // 2, upto - 1, upto):
        example = Example(tmp_path / f"{row}.h5")
        path = example.write(upto, step=1)
        assert check(path) == []
        if row == example.samples:
            continue
        flip(path, "layers/conv2d/output", row)
        first = row // 2 * 2
        last = min(first + 1, upto - 1)
        expected = Finding(
            "/layers/conv2d/output", f"rows {first} to {last} differ from their checksum"
        )
        assert check(path) == ([expected] if row < upto else [])


def test_h5py_and_zlib_alone_confirm_the_document(example, small_blocks):
    path = example.write(upto=7)
    found = {}
    with h5py.File(path) as file:
        rows, group = file["rows"][0], file["checksums"]
        assert group.attrs["algorithm"] == "crc32"
        slots = list(group["slots"])
        for sums in group.values():
            if "dataset" in sums.attrs:
                data, size = file[sums.attrs["dataset"]][:], sums.attrs["rows-per-block"]
                full = rows // size
                for block in range(full):
                    expected = zlib.crc32(data[block * size : (block + 1) * size].tobytes())
                    assert sums[2 + block] == expected
                open_rows = data[full * size : rows].tobytes()
                assert sums[slots.index(rows)] == zlib.crc32(open_rows)
                found[sums.attrs["dataset"]] = int(full)
    assert found["/layers/conv2d/output"] == 3
    assert len(found) == 4


def test_a_finished_file_does_not_depend_on_when_it_was_committed(tmp_path, small_blocks):
    first, second = Example(tmp_path / "a.h5"), Example(tmp_path / "b.h5")
    first.write()
    with Writer(second.path, second.plan) as writer:
        for start in range(12):
            writer.append(second.rows(start, start + 1))
            writer.commit()
    assert first.path.read_bytes() == second.path.read_bytes()


def test_checksums_that_make_no_sense_are_findings(example):
    path = example.write()
    with h5py.File(path, "r+") as file:
        file["checksums/2"].attrs["dataset"] = "/layers/other"
    assert check(path) == [
        Finding("/checksums/2", "covers '/layers/other', which is not there"),
        Finding("/layers/block.dense/output", "its rows have no checksums, though others do"),
    ]
    with h5py.File(path, "r+") as file:
        file["checksums/1"].attrs["rows-per-block"] = 0
    (finding,) = check(path)
    assert finding.place == "/checksums"
    assert "/checksums/1 does not say how many rows" in finding.problem
    with h5py.File(path, "r+") as file:
        del file["checksums/slots"], file["checksums/1"]
    (finding,) = check(path)
    assert "slots is missing" in finding.problem


def test_a_file_without_checksums_has_no_findings(example):
    path = example.write()
    with h5py.File(path, "r+") as file:
        del file["checksums"]
    assert check(path) == []


def test_xarray_opens_the_checksums_and_the_whole_tree(example, small_blocks):
    import xarray

    path = example.write(upto=7)
    with xarray.open_dataset(path, engine="h5netcdf", group="checksums") as dataset:
        assert dataset["slots"].dims == ("slot",)
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert not any(str(d).startswith("phony") for g in tree.subtree for d in g.sizes)
