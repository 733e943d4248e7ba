"""How the comparison of captions reads phrasings; by the built-in encoder, which is always there."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.stages import readings
from benchmarks.stages.training import params
from stages.core.params import ComputeParams
from stages.generator.network import build_generator
from stages.networks.compute import prepare
from stages.prompting.captions import captions_of
from stages.train_gan.params import TrainGanParams

CLASSES = ["Coat", "Bag", "Dress"]
SIZES = {"size": 8, "channels": 1, "latent": 1, "condition": 8, "width": 1}


def test_both_ways_read_what_names_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "STEPS", 200)
    prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))
    settings = TrainGanParams(**params()["train-gan"])
    captions = captions_of(readings.no_pictures(CLASSES), settings.text)
    vectors = captions.encoder.encode(["two bags", "a dress", "a photo of a coat"])
    assert readings.nearest(captions, vectors) == [1, 2, 0]
    generator = build_generator(SIZES | {"classes": CLASSES, "text": None, "attributes": None})
    reader = readings.taught(generator, captions, settings, seed=0)
    assert torch.equal(reader.embed.weight, generator.embed.weight)  # all else stays
    codes = F.normalize(reader.embed.weight, dim=1)
    assert (reader.by_text(vectors) @ codes.T).argmax(dim=1).tolist() == [1, 2, 0]
