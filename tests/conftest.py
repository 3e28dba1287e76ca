"""What all tests share: the choice of backend, and a small recording."""

import os

import pytest
from hypothesis import HealthCheck, settings

from document_reader import agrees_with_actscope, recordings_in
from limited import Limited
from recordings import Example

# No test asserts times.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="run the Keras tests in this process, on this backend only",
    )


def pytest_configure(config):
    backend = config.getoption("--backend")
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_ignore_collect(collection_path, config):
    # Keras fixes its backend at import: without the option, test_backends.py starts a process each.
    if collection_path.name == "keras_backend" and not config.getoption("--backend"):
        return True
    if collection_path.name == "test_backends.py" and config.getoption("--backend"):
        return True
    return None


@pytest.fixture
def example(tmp_path):
    return Example(tmp_path / "run.h5")


@pytest.fixture(autouse=True)
def _the_document_is_enough(request):
    """Whatever recording a test makes, a reader written from docs/format.md reads the same."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None and "hostile" not in request.node.name:
        for path in recordings_in(folder):
            agrees_with_actscope(path)


@pytest.fixture(scope="session")
def limited():
    """Does what people do with a file, in a child that is watched."""
    process = Limited()
    yield process
    process.close()
