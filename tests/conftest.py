"""One thread a process, since small tensors gain nothing from more and threads that wait for each other on a busy machine cost much; and one browser."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def chromium():
    "A headless browser; closed after each file, since Playwright allows no two at once in a process"
    from browser import browser

    with browser() as opened:
        yield opened


def pytest_make_parametrize_id(val):
    "Tensors and modules by their type: their numbers differ from process to process, and tests must have the same names in all"
    import torch

    return type(val).__name__ if isinstance(val, torch.Tensor | torch.nn.Module) else None


def pytest_collection_modifyitems(items):
    "Benchmarks first: they fork processes, and a process in which numba's threads have run cannot"
    items.sort(key=lambda item: item.path.stem != "test_bench")
