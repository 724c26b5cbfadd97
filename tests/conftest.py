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
    "Benchmarks first: they fork processes, and a process in which numba's threads have run cannot. Then what executes chapters, and last what looks at pages that are made of them"
    items.sort(key=lambda item: {"test_bench": 0, "test_chapters": 1, "test_site": 3}.get(item.path.stem, 2))
