"""params.yaml of one stage, for its tests."""

from pathlib import Path
from typing import Any

import yaml

COMPUTE = {"seed": 1, "threads": 1, "precision": "float32", "deterministic": True}


def write_params(
    path: Path, stage: str, values: dict[str, Any], *, seconds: float = 3600, **compute: Any
) -> None:
    """The stage's section and those that every stage reads; checkpoints are `seconds` apart."""
    document = {
        "compute": COMPUTE | compute,
        "libraries": {},
        "checkpoints": {"seconds": seconds},
        stage: values,
    }
    path.write_text(yaml.safe_dump(document))
