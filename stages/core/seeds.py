"""Seeds and threads, which decide the bits of every stage; what torch has of them is in compute.py."""

import random
import sys

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


def seed_generators(seed: int) -> None:
    """Python's generator and numpy's, for those who draw from none of their own."""
    random.seed(seed)
    np.random.seed(seed)


def pin_threads(threads: int) -> None:
    """Of every BLAS and OpenMP that is loaded, and of OpenCV: whatever OMP_NUM_THREADS says."""
    threadpool_limits(threads)
    if "cv2" in sys.modules:  # not every stage has it
        sys.modules["cv2"].setNumThreads(threads)
