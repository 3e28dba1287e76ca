"""Every kind of data that `extract` takes gives the same recording."""

import keras
import numpy as np
import pytest

import actscope
from actscope.errors import DataError, ModelError
from actscope_keras import KerasAdapter

ROWS = np.random.default_rng(0).random((23, 6), np.float32)
LABELS = np.arange(23) % 3


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="dense")])


@pytest.fixture(scope="module")
def expected(model):
    return keras.ops.convert_to_numpy(model(ROWS))


def check(model, data, expected, path, **words):
    recording = actscope.extract(model, data, path / "run.h5", batch_size=4, **words)
    assert recording.samples == len(expected)
    np.testing.assert_allclose(recording["dense"][:], expected, rtol=1e-5, atol=1e-6)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, position):
        rows = slice(position * 5, position * 5 + 5)
        return ROWS[rows], LABELS[rows]


def test_py_dataset(model, expected, tmp_path):
    check(model, Batches(), expected, tmp_path)


def test_a_py_dataset_is_gone_on_with_by_position(model, expected, tmp_path):
    class Failing(Batches):
        def __init__(self, fails_at=None):
            super().__init__()
            self.fails_at = fails_at
            self.read = []

        def __getitem__(self, position):
            self.read.append(position)
            if position == self.fails_at:
                raise OSError("cannot read batch 3")
            return super().__getitem__(position)

    words = {"batch_size": 2, "samples": 23}
    with pytest.raises(OSError, match="cannot read"):
        actscope.extract(model, Failing(fails_at=3), tmp_path / "run.h5", **words)
    committed = actscope.open(tmp_path / "run.h5").samples
    assert committed >= 10
    data = Failing()
    recording = actscope.extract(model, data, tmp_path / "run.h5", **words)
    assert data.read == [0, *range(committed // 5, 5)]
    np.testing.assert_allclose(recording["dense"][:], expected, rtol=1e-5, atol=1e-6)


def test_iterables_of_batches(model, expected, tmp_path):
    def generate():
        yield from np.array_split(ROWS, 7)

    check(model, generate(), expected, tmp_path, samples=23)


def test_an_iterable_that_ends_early_keeps_what_it_gave(model, expected, tmp_path):
    with pytest.raises(DataError, match="ended after 23 samples of 30"):
        actscope.extract(
            model, iter(np.array_split(ROWS, 7)), tmp_path / "run.h5", samples=30, batch_size=5
        )
    recording = actscope.open(tmp_path / "run.h5")
    assert not recording.complete
    assert recording.samples >= 15
    np.testing.assert_allclose(
        recording["dense"][:], expected[: recording.samples], rtol=1e-5, atol=1e-6
    )


def test_memory_maps_and_tensors(model, expected, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    check(model, np.load(tmp_path / "rows.npy", mmap_mode="r"), expected, tmp_path)
    check(model, keras.ops.convert_to_tensor(ROWS), expected, tmp_path, overwrite=True)


def test_tf_data(model, expected, tmp_path):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((ROWS, LABELS)).batch(5)
    check(model, dataset, expected, tmp_path)
    check(model, dataset.map(lambda x, y: x), expected[:12], tmp_path, samples=12, overwrite=True)
    with pytest.raises(DataError, match="pass samples="):
        actscope.extract(model, dataset.repeat(), tmp_path / "endless.h5")


def test_data_loader(model, expected, tmp_path):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(ROWS), torch.from_numpy(LABELS))
    loader = torch.utils.data.DataLoader(data, batch_size=5)
    check(model, loader, expected, tmp_path)
    dropping = torch.utils.data.DataLoader(data, batch_size=5, drop_last=True)
    check(model, dropping, expected[:20], tmp_path, overwrite=True)


def test_named_inputs_in_any_order_and_batches_of_them(tmp_path):
    inputs = {name: keras.Input((3,), name=name) for name in ("zebra", "apple")}
    joined = keras.layers.Concatenate(name="joined")([inputs["zebra"], inputs["apple"]])
    model = keras.Model(list(inputs.values()), joined)
    zebra, apple = ROWS[:, :3], ROWS[:, 3:]
    batches = ({"apple": apple[i : i + 4], "zebra": zebra[i : i + 4]} for i in range(0, 23, 4))
    for data, samples in (
        ({"apple": apple, "zebra": zebra}, None),
        ([zebra, apple], None),
        ((zebra, apple), None),
        (batches, 23),
    ):
        recording = actscope.extract(
            model, data, tmp_path / "run.h5", samples=samples, overwrite=True, store_inputs=True
        )
        np.testing.assert_array_equal(recording["joined"][:], ROWS)
        stored = {tensor.name: tensor[:] for tensor in recording.inputs}
        np.testing.assert_array_equal(stored["apple"], apple)
        np.testing.assert_array_equal(stored["zebra"], zebra)


def test_whole_numbers_reach_the_model_as_they_are(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), keras.layers.Embedding(9, 2, name="embedding")]
    )
    tokens = np.random.default_rng(0).integers(0, 9, (11, 4))
    recording = actscope.extract(model, tokens, tmp_path / "run.h5", batch_size=4)
    np.testing.assert_array_equal(recording["embedding"][:], model.get_weights()[0][tokens])


def test_code_in_a_model_file_runs_only_where_it_is_trusted(tmp_path):
    path = tmp_path / "model.keras"
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Lambda(lambda x: x * 2, output_shape=(6,), name="double")]
    )
    model.save(path)
    adapter = KerasAdapter()
    with pytest.raises(ModelError, match=r"code of its own.*--trust"):
        adapter.load(str(path), backend=None, structure_only=False)
    trusted = adapter.load(str(path), backend=None, structure_only=False, trusted=True)
    recording = actscope.extract(trusted, ROWS, tmp_path / "run.h5")
    np.testing.assert_allclose(recording["double"][:], ROWS * 2)


def test_a_generator_is_read_until_it_ends(model, expected, tmp_path):
    batches = (ROWS[start : start + 5] for start in range(0, 23, 5))
    check(model, batches, expected, tmp_path, codec="zstd", statistics=True)
    found = actscope.open(tmp_path / "run.h5")["dense"].statistics
    np.testing.assert_allclose(found.mean, expected.mean(0), rtol=1e-5)
