"""One thread a process: small tensors gain nothing from more, and threads that wait for each other on a busy machine cost much."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
