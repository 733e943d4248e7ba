"""How far the sentence encoder understands held-out phrasings: a trained generator is taught to read anew.

`python -m benchmarks.stages.readings` asks data/models/generator.safetensors for the phrasings of
benchmarks/stages/phrasings.yaml. The layer that reads prompts is trained as in train-gan, on captions of the
classes of params.yaml, names alone and with descriptions; as no caption made of class names has a part in
anything else of a generator, this is what training it with `encoder: minilm` gives, in a minute. Beside it:
the nearest caption, which is the encoder's own doing. It asks for `pip install 'darkroom[minilm]'`. `--out
FILE` writes what it prints.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.machine import describe
from benchmarks.stages.generator import DRAWN, PHRASINGS, SEED, measure_with
from benchmarks.stages.training import ROOT, params, spread
from stages.by_hand.generate import draw
from stages.core.packed import ClassificationSplit
from stages.evaluate.of_generator.evaluation import Measuring
from stages.generator.network import Generator, build_generator, load_generator
from stages.prompting.captions import Captions, captions_of
from stages.train_gan.material import Batch
from stages.train_gan.params import TrainGanParams
from stages.train_gan.steps import reading_loss
from stages.training.optimization import build_optimizer

STEPS = 4000  # about as many as the generator is trained for by default
BATCH = 64
SEEDS = 3
EXAMPLE, MEANT = "warm jumper", "Pullover"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", type=Path, default=ROOT / "data/models/generator.safetensors")
    parser.add_argument("--classifier", type=Path, default=ROOT / "data/models/classifier.safetensors")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    generator, measuring = (
        load_generator(arguments.generator),
        measure_with(arguments.classifier, quick=False),
    )
    section = params()["train-gan"]
    section["text"] |= {"encoder": "minilm"}
    report = [
        "# How far the sentence encoder understands held-out phrasings\n",
        f"`python -m benchmarks.stages.readings` on {describe()}.\n",
        f"Right: of {DRAWN} pictures most are taken for what was meant, of {count('first')} phrasings and of"
        f" {count('second')}; mean and range of {SEEDS} seeds."
        " The nearest caption is the encoder's own doing.\n",
        f"| captions | list | nearest caption | pictures | of {DRAWN} drawn for '{EXAMPLE}' {MEANT}s |",
        "|---|---|---|---|---|",
    ]
    said = []
    for name, text in {
        "names": section["text"] | {"descriptions": None},
        "names and descriptions": section["text"],
    }.items():
        rows, wrong = judge(name, generator, measuring, TrainGanParams(**(section | {"text": text})))
        report += rows
        said += wrong
    report += said
    print("\n".join(report))
    if arguments.out:
        arguments.out.write_text("\n".join(report) + "\n")


def count(which: str) -> int:
    return sum(map(len, PHRASINGS[which].values()))


def judge(
    name: str, generator: Generator, measuring: Measuring, settings: TrainGanParams
) -> tuple[list[str], list[str]]:
    """A row for each list of phrasings; and what is drawn for those that go wrong, by the first seed."""
    assert settings.text is not None
    classes = generator.config["classes"]
    captions = captions_of(no_pictures(classes), settings.text)
    readers = [taught(generator, captions, settings, seed=seed) for seed in range(SEEDS)]
    rows, wrong = [], []
    for which, phrasings in PHRASINGS.items():
        asked = [(text, classes.index(label)) for label, texts in phrasings.items() for text in texts]
        vectors, truth = captions.encoder.encode([text for text, _ in asked]), [label for _, label in asked]
        near = nearest(captions, vectors)
        counts = [drawn_for(reader, vectors, measuring) for reader in readers]
        drawn = [each.argmax(axis=1) for each in counts]
        right = [float(sum(np.equal(each, truth))) for each in drawn]
        meant = [
            str(each[row, classes.index(MEANT)])
            for each in counts
            for row, (text, _) in enumerate(asked)
            if text == EXAMPLE
        ]
        figures = f"{sum(np.equal(near, truth))} | {spread(right, '.1f')} | {', '.join(meant)}"
        rows.append(f"| {name} | {which} | {figures} |")
        missed = [
            f"{text} -> {classes[found]}"
            for (text, label), found in zip(asked, drawn[0], strict=True)
            if found != label
        ]
        wrong.append(f"\n{name}, {which} list, wrong: {'; '.join(missed)}.")
    return rows, wrong


def no_pictures(classes: list[str]) -> ClassificationSplit:
    none = np.zeros((0, 8, 8, 1), np.uint8)
    return ClassificationSplit(images=none, labels=np.zeros(0, np.int64), classes=classes)


def taught(generator: Generator, captions: Captions, settings: TrainGanParams, *, seed: int) -> Generator:
    """The generator with another layer that reads prompts, trained on these captions."""
    assert settings.text is not None
    torch.manual_seed(seed)
    reader = build_generator(generator.config | {"text": captions.config})
    kept = {name: weight for name, weight in generator.state_dict().items() if not name.startswith("read.")}
    reader.load_state_dict(kept, strict=False)
    assert reader.read is not None
    optimizer = build_optimizer(reader.read, settings.descent.generator)
    for _ in range(STEPS):
        labels = torch.randint(len(captions.counts), (BATCH,))
        vectors, own = captions.draw(labels, labels)
        noisy = vectors + settings.text.noise * torch.randn_like(vectors)
        loss = reading_loss(reader, batch_of(noisy, labels, own))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return reader.eval()


def batch_of(texts: Tensor, labels: Tensor, own: Tensor) -> Batch:
    none = torch.zeros(len(labels), 0)
    return Batch(
        real=none, labels=labels, texts=texts, own=own, by_text=own[:, None], numbers=none, given=none
    )


def nearest(captions: Captions, vectors: Tensor) -> list[int]:
    """The class of the caption nearest to each of vectors [N, D]."""
    of = torch.repeat_interleave(torch.arange(len(captions.counts)), captions.counts)
    found: list[int] = of[(vectors @ captions.vectors.T).argmax(dim=1)].tolist()
    return found


@torch.no_grad()
def drawn_for(generator: Generator, vectors: Tensor, measuring: Measuring) -> npt.NDArray[np.int64]:
    """What pictures drawn for each of vectors [N, D] are taken for: [N, K]."""
    asked = generator.ask(generator.by_text(vectors))  # [N, E + 2 A]
    taken = [measuring.predict(draw(generator, one, DRAWN, seed=SEED)) for one in asked.split(1)]
    return np.stack([np.bincount(each, minlength=len(generator.config["classes"])) for each in taken])


if __name__ == "__main__":
    main()
