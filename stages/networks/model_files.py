"""Model files: safetensors, written atomically, with everything needed to build the network again.

Loading a file never runs code: its header has JSON, and the caller's own `build` reads it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save

from stages.core.errors import ModelError
from stages.core.files import write_atomically

Network = TypeVar("Network", bound=torch.nn.Module)

NO_MODEL = "nothing"
"""The kind of a file that stands for a model that was not wanted."""


def save_model(path: Path, network: torch.nn.Module, *, kind: str, config: dict[str, Any]) -> None:
    """Write the network's state and the `config` that builds it.

    `kind` says what the file is ("classifier", "detector", "generator"); `config` must be JSON.
    The same state gives the same bytes.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One metadata key: safetensors keeps several in a hash map, whose order varies from run to run.
    header = {"darkroom": json.dumps({"kind": kind, "config": config}, sort_keys=True)}
    write_atomically(path, save(state, metadata=header))


def save_no_model(path: Path, why: str) -> None:
    """Write a file that stands for a model that was not wanted; `why` names the key of params.yaml."""
    header = {"darkroom": json.dumps({"kind": NO_MODEL, "config": {"why": why}}, sort_keys=True)}
    write_atomically(path, save({}, metadata=header))


def why_no_model(path: Path | None) -> str | None:
    """Why the file stands for no model, or that no file is named; None: it holds one.

    Raises:
        ModelError: No such file, a folder, not safetensors, or no model file.

    """
    if path is None:
        return "no stage trains one"
    _, described = _read(path, tensors=False)
    return str(described["config"].get("why")) if described["kind"] == NO_MODEL else None


def is_model(path: Path | None) -> TypeGuard[Path]:
    """Whether a file is named and holds a model.

    Raises:
        ModelError: As `why_no_model` does.

    """
    return why_no_model(path) is None


def load_model(path: Path, *, kind: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """Load the network that `save_model` wrote, in evaluation mode, on the CPU.

    Raises:
        ModelError: No such file, a folder, not safetensors, of another kind, made by other code, or with
            weights that are not finite.

    """
    state, described = _read(path)
    if described["kind"] == NO_MODEL:
        raise ModelError(f"{path}: holds no model: {described['config'].get('why')}")
    if described["kind"] != kind:
        raise ModelError(f"{path}: holds a {described['kind']}, a {kind} was asked for")
    if broken := [name for name, weights in state.items() if not weights.isfinite().all()]:
        raise ModelError(
            f"{path}: NaN or infinite in {len(broken)} of its {len(state)} tensors, such as {broken[0]}; "
            "train it again, with a lower learning rate"
        )
    try:
        network = build(described["config"])
        network.load_state_dict(state)
    # An older config lacks a key, a damaged one has any value, the state is of other shapes: builders raise
    # then what they like, and to the user all of it means the same.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{path}: made by other code than this ({reason}); train it again") from error
    return network.eval()


def _read(path: Path, *, tensors: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the `tensors` by name, if they are wanted, and `kind` and `config` from the header.

    Raises:
        ModelError: The file cannot be read, or is no model file.

    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("darkroom")
            names = file.keys() if tensors else ()
            state = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model; `dvc repro` or `darkroom run` makes it") from None
    except OSError as error:  # of safetensors' own, which do not name the file
        why = "it is a folder" if path.is_dir() else str(error)
        raise ModelError(f"{path}: cannot be read as a model file: {why}") from None
    except Exception as error:  # a damaged header: not of SafetensorError alone
        raise ModelError(f"{path}: not a safetensors file ({' '.join(str(error).split())})") from None
    if header is None:
        raise ModelError(f"{path}: no darkroom model: its header lacks the key 'darkroom'")
    try:
        described = json.loads(header)
        kind, config = described["kind"], described["config"]
    except (ValueError, KeyError, TypeError, RecursionError):
        kind, config = None, None
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise ModelError(f"{path}: its header is damaged; train it again, or take it from DVC's cache anew")
    return state, described
