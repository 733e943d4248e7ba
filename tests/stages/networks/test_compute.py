import random

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from stages.core.params import ComputeParams
from stages.networks.compute import prepare


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # prepare would leave it set
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def params(**changes):
    return ComputeParams(
        **({"seed": 5, "threads": 1, "precision": "float32", "deterministic": True} | changes)
    )


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_every_generator_starts_from_the_seed():
    prepare(params())
    first = draw()
    assert draw() != first
    prepare(params())
    assert draw() == first
    prepare(params(seed=6))
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_every_pool_has_the_threads_of_the_params():
    for threads in (2, 1):
        prepare(params(threads=threads))
        assert torch.get_num_threads() == threads
        assert {pool["num_threads"] for pool in threadpool_info()} == {threads}
        assert cv2.getNumThreads() == threads


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_multiplies_in_the_chosen_precision(precision):
    compute = prepare(params(precision=precision))
    a = torch.ones(2, 2, device=compute.device)
    with compute.autocast():
        assert (a @ a).dtype == getattr(torch, precision) == compute.dtype


def test_automatic_precision_is_bfloat16_only_where_it_is_native():
    compute = prepare(params(precision="auto"))
    native = (
        torch.cuda.is_bf16_supported()
        if torch.cuda.is_available()
        else any(word in torch.backends.cpu.get_cpu_capability() for word in ("AMX", "BF16"))
        or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    assert (compute.dtype == torch.bfloat16) == native


def test_images_lie_channels_last():
    compute = prepare(params())
    images = compute.images(torch.zeros(2, 3, 4, 5))
    assert images.is_contiguous(memory_format=torch.channels_last)
    weights = compute.network(torch.nn.Conv2d(3, 8, 3)).weight
    assert weights.is_contiguous(memory_format=torch.channels_last)
