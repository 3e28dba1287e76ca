import h5py
import numpy as np
import pytest
from PIL import Image

from actscope.errors import DataError, MissingFileError
from actscope.protocol import InputInfo
from actscope.sources import open_source

COLOUR = [InputInfo("image", (None, 6, 8, 3), "float32")]


@pytest.fixture
def array():
    return np.random.default_rng(0).random((5, 6, 8, 3), np.float32)


def test_npy_is_mapped_and_not_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    source = open_source(str(tmp_path / "a.npy"), None)
    assert isinstance(source.data, np.memmap)
    np.testing.assert_array_equal(source.data, array)


def test_npz_with_one_array_and_labels(tmp_path, array):
    np.savez(tmp_path / "a.npz", pictures=array, labels=np.arange(5))
    source = open_source(str(tmp_path / "a.npz"), COLOUR)
    np.testing.assert_array_equal(source.data, array)
    np.testing.assert_array_equal(source.labels, np.arange(5))


def test_npz_by_part_and_by_the_names_of_the_inputs(tmp_path, array):
    np.savez(tmp_path / "a.npz", left=array, right=array + 1, other=np.zeros(5))
    part = open_source(f"{tmp_path / 'a.npz'}:right", None)
    np.testing.assert_array_equal(part.data, array + 1)
    declared = [InputInfo("right", (None, 6, 8, 3), "f"), InputInfo("left", (None, 6, 8, 3), "f")]
    both = open_source(str(tmp_path / "a.npz"), declared).data
    assert list(both) == ["right", "left"]
    np.testing.assert_array_equal(both["left"], array)


def test_hdf5_datasets_are_found_by_path(tmp_path, array):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/inside"] = array
    for name in (f"{tmp_path / 'a.h5'}:deep/inside", f"{tmp_path / 'a.h5'}:/deep/inside"):
        np.testing.assert_array_equal(open_source(name, None).data[1:3], array[1:3])
    np.testing.assert_array_equal(open_source(str(tmp_path / "a.h5"), None).data[:], array)


def test_a_folder_of_images_is_sorted_resized_and_named(tmp_path):
    pictures = {"b.png": (10, 20, 30), "a.jpg": (200, 100, 50), "sub/c.png": (0, 255, 0)}
    (tmp_path / "sub").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    for name, colour in pictures.items():
        Image.new("RGB", (32, 20), colour).save(tmp_path / name, quality=100)
    source = open_source(str(tmp_path), COLOUR)
    assert source.ids == ("a.jpg", "b.png", "sub/c.png")
    assert source.data.shape == (3, 6, 8, 3)
    images = source.data[0:3]
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[1], np.broadcast_to([10, 20, 30], (6, 8, 3)))
    np.testing.assert_allclose(images[0, 0, 0], [200, 100, 50], atol=3)


def test_grey_and_channels_first_inputs(tmp_path):
    Image.new("RGB", (9, 9), (50, 50, 50)).save(tmp_path / "a.png")
    grey = open_source(str(tmp_path), [InputInfo("i", (None, 4, 5, 1), "f")]).data
    np.testing.assert_array_equal(grey[0:1], np.full((1, 4, 5, 1), 50))
    first = open_source(str(tmp_path), [InputInfo("i", (None, 3, 4, 5), "f")]).data
    assert first.shape == (1, 3, 4, 5)
    assert first[0:1].shape == (1, 3, 4, 5)


def broken_npz(path):
    (path / "x.npz").write_bytes(b"PK\x03\x04 broken")
    return str(path / "x.npz")


def broken_image(path):
    (path / "folder").mkdir()
    (path / "folder" / "x.png").write_bytes(b"not a picture")
    return str(path / "folder")


def pickled(path):
    np.save(path / "x.npy", np.array([{}]), allow_pickle=True)
    return str(path / "x.npy")


def several(path):
    np.savez(path / "x.npz", a=np.zeros(2), b=np.zeros(2))
    return str(path / "x.npz")


def without_part(path):
    with h5py.File(path / "x.h5", "w") as file:
        file["one"], file["two"] = [1], [2]
    return f"{path / 'x.h5'}:on"


def empty_folder(path):
    (path / "empty").mkdir()
    return str(path / "empty")


def of_no_kind(path):
    (path / "x.csv").write_text("1,2")
    return str(path / "x.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken_npz, "cannot be read as a .npz"),
        (pickled, "cannot be read as a .npy"),
        (several, r"holds \['a', 'b'\]: name the one"),
        (without_part, "no dataset 'on': did you mean 'one'"),
        (empty_folder, "holds no images"),
        (of_no_kind, "of no known kind"),
    ],
)
def test_data_that_cannot_be_used(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        open_source(make(tmp_path), COLOUR)


def test_a_broken_image_is_named_when_it_is_read(tmp_path):
    data = open_source(broken_image(tmp_path), COLOUR).data
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image"):
        data[0:1]


def test_missing_data(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        open_source(str(tmp_path / "none.npy"), None)


def test_images_need_a_model_with_one_image_input(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    for declared in (None, [InputInfo("i", (None, 5), "f")], COLOUR * 2):
        with pytest.raises(DataError, match="images need a model with one input"):
            open_source(str(tmp_path), declared)
    with pytest.raises(DataError, match="fixed height and width"):
        open_source(str(tmp_path), [InputInfo("i", (None, None, None, 3), "f")])
