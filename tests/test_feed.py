import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import DataError
from actscope.feed import check_inputs, open_feed, pad, rebatch
from actscope.protocol import InputInfo, Inputs


def joined(feed, size):
    batches = list(feed.batches(size, 0))
    assert all(len(batch[0]) == size for batch in batches[:-1])
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    size=st.integers(1, 11),
    data=st.data(),
)
def test_rebatching_keeps_every_row_in_order(lengths, size, data):
    total = data.draw(st.integers(0, sum(lengths)))
    rows = np.arange(sum(lengths))
    chunks = np.split(rows, np.cumsum(lengths)[:-1])
    batches = list(rebatch(((chunk, chunk * 2) for chunk in chunks), size, total))
    assert [len(first) for first, _ in batches] == (
        [size] * (total // size) + ([total % size] if total % size else [])
    )
    if batches:
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), rows[:total])
        np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), rows[:total] * 2)


@pytest.mark.parametrize("start", [0, 4, 8, 20, 22])
def test_batches_from_a_row_on_are_the_later_ones(start):
    array = np.arange(23)
    for source in (array, iter(np.array_split(array, 6))):
        feed = open_feed(source, 1, 23)
        if start and source is not array:
            with pytest.warns(UserWarning, match="read again and passed over"):
                batches = list(feed.batches(4, start))
        else:
            batches = list(feed.batches(4, start))
        assert len(batches) == -(-(23 - start) // 4)
        assert all(len(batch[0]) == 4 for batch in batches[:-1])
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), array[start:])


def test_a_stream_that_ends_early_says_so():
    with pytest.raises(DataError, match="ended after 3 samples of 5"):
        list(rebatch([(np.zeros(3),)], 2, 5))


@given(st.integers(1, 6), st.integers(0, 4))
def test_padding_repeats_the_last_row(rows, more):
    batch = np.random.default_rng(0).random((rows, 2))
    (padded,) = pad([batch], rows + more)
    np.testing.assert_array_equal(padded[:rows], batch)
    np.testing.assert_array_equal(padded[rows:], np.repeat(batch[-1:], more, axis=0))


def test_arrays_memory_maps_and_hdf5_datasets_give_the_same(tmp_path):
    array = np.random.default_rng(0).random((23, 4), np.float32)
    np.save(tmp_path / "a.npy", array)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = array
        sources = [
            array,
            np.load(tmp_path / "a.npy", mmap_mode="r"),
            file["data"],
            array.tolist(),
            (chunk for chunk in np.split(array, [5, 6, 20])),
            ((chunk, "label") for chunk in np.split(array, [10])),
        ]
        for source in sources:
            feed = open_feed(source, 1, 23)
            assert feed.samples == 23
            (whole,) = joined(feed, 5)
            np.testing.assert_array_equal(whole, array)
            np.testing.assert_array_equal(feed.example.arrays[0][:3], array[:3])


def test_several_inputs_as_list_and_dict():
    a, b = np.zeros((6, 2), np.float32), np.arange(6)
    feed = open_feed([a, b])
    assert feed.example.names == ()
    assert not feed.example.single
    np.testing.assert_array_equal(joined(feed, 4)[1], b)
    feed = open_feed({"x": a, "y": b})
    assert feed.example.names == ("x", "y")
    np.testing.assert_array_equal(joined(feed, 4)[1], b)


def test_float64_becomes_float32_and_whole_numbers_stay():
    assert open_feed(np.zeros((2, 3))).example.arrays[0].dtype == np.float32
    assert open_feed(np.zeros((2, 3), np.uint8)).example.arrays[0].dtype == np.uint8


def test_fewer_samples_can_be_taken():
    feed = open_feed(np.arange(10), samples=7)
    np.testing.assert_array_equal(joined(feed, 3)[0], np.arange(7))


def test_fingerprints_tell_data_apart_and_know_the_same_again():
    array = np.random.default_rng(0).random((500, 3), np.float32)
    other = array.copy()
    other[-1, -1] += 1
    known = open_feed(array).fingerprint
    assert open_feed(array.copy()).fingerprint == known
    assert open_feed(other).fingerprint != known
    assert open_feed(array[:400]).fingerprint != known


def test_the_length_of_an_iterable_turns_out_at_the_end():
    feed = open_feed(iter([np.arange(3), np.arange(3, 8)]))
    assert feed.samples is None
    with pytest.raises(DataError, match="pass samples="):
        _ = feed.length
    assert [len(batch[0]) for batch in feed.batches(3, 0)] == [3, 3, 2]


@pytest.mark.parametrize(
    ("data", "samples", "message"),
    [
        ([np.zeros((3, 1)), np.zeros((4, 1))], None, r"different lengths, \[3, 4\]"),
        (np.zeros((0, 3)), None, "hold no samples"),
        ([], None, "empty"),
        ({}, None, "empty"),
        (np.zeros((3, 1)), 4, "hold only 3"),
        (np.zeros((3, 1)), 0, "takes nothing"),
        (iter([]), 3, "hold no batches"),
        (3, None, "cannot read samples from a int"),
        (np.array(["a", "b"]), None, "numbers are needed"),
    ],
)
def test_wrong_data(data, samples, message):
    with pytest.raises(DataError, match=message):
        open_feed(data, 1, samples)


IMAGE = InputInfo("image", (None, 28, 28, 1), "float32")


@pytest.mark.parametrize(
    ("declared", "example", "message"),
    [
        ([IMAGE], Inputs((np.zeros((2, 28, 28)),)), r"takes \(N, 28, 28, 1\).*\[..., None\]"),
        ([IMAGE], Inputs((np.zeros((2, 32, 32, 1)),)), r"the data have \(N, 32, 32, 1\): resize"),
        ([IMAGE], Inputs((np.zeros((2, 1)), np.zeros((2, 1))), (), False), "takes 1 inputs"),
        (
            [IMAGE, InputInfo("token", (None,), "int32")],
            Inputs((np.zeros((2, 28, 28, 1)),)),
            r"takes 2 inputs \(image \(N, 28, 28, 1\), token \(N,\)\), the data have 1",
        ),
        ([IMAGE], Inputs((np.zeros((2, 28, 28, 1)),), ("picture",)), "named.*picture.*image"),
    ],
)
def test_data_that_do_not_fit_the_model(declared, example, message):
    with pytest.raises(DataError, match=message):
        check_inputs(declared, example)


def test_data_that_fit_pass_in_any_order_of_names():
    free = InputInfo("tokens", (None, None), "int32")
    check_inputs([IMAGE], Inputs((np.zeros((2, 28, 28, 1)),)))
    check_inputs(None, Inputs((np.zeros(2),)))
    named = Inputs((np.zeros((2, 9)), np.zeros((2, 28, 28, 1))), ("tokens", "image"), False)
    check_inputs([IMAGE, free], named)
