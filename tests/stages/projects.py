"""What tests of several stages hand to a stage: prepared folders and model files by the options' names."""

from pathlib import Path
from typing import Any

from stages.generator.network import build_generator
from stages.networks.model_files import save_model


def models_in(project: Path) -> dict[str, Path]:
    """params.yaml and the model files of a project's folder."""
    return {
        "params": project / "params.yaml",
        "classifier": project / "classifier.safetensors",
        "detector": project / "detector.safetensors",
        "generator": project / "generator.safetensors",
    }


def preprocess_paths(folder: Path, out: Path) -> dict[str, Path]:
    """The inputs of preprocess in a folder, and its outputs in the folder `out`."""
    return {
        "raw": folder / "raw",
        "params": folder / "params.yaml",
        "classification": out / "classification",
        "detection": out / "detection",
        "metrics": out / "metrics.json",
        "sheet": out / "sheet.png",
        "report": out / "report",
    }


def write_generator(path: Path, classes: list[str], *, size: int, channels: int) -> None:
    """An untrained generator of pictures of `size` pixels."""
    config: dict[str, Any] = {
        "size": size,
        "channels": channels,
        "classes": classes,
        "latent": 4,
        "condition": 2,
        "width": 4,
        "text": None,
        "attributes": None,
    }
    save_model(path, build_generator(config), kind="generator", config=config)
