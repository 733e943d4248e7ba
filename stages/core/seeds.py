"""Seeds and threads, which decide the bits of every stage's results; compute.py sets those of torch."""

import random
import sys

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


def seed_generators(seed: int) -> None:
    """Seed Python's and numpy's global generators, for code that has no generator of its own."""
    random.seed(seed)
    np.random.seed(seed)


def pin_threads(threads: int) -> None:
    """Set the threads of every loaded BLAS and OpenMP and of OpenCV, whatever OMP_NUM_THREADS says."""
    threadpool_limits(threads)
    if "cv2" in sys.modules:  # not every stage has it
        sys.modules["cv2"].setNumThreads(threads)
