"""How many threads PyTorch takes while a test runs."""

from contextlib import contextmanager


@contextmanager
def pytorch_threads(count):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
