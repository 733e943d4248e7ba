"""params.yaml of one stage, for its tests."""

from pathlib import Path
from typing import Any

import yaml

REFUSED = (
    "unreadable truncated damaged bomb missing_picture unfollowed_link bad_row unknown_class size_differs "
    "invalid_box tiny_box crowd_box in_another_split companion_in_another_split under_several_labels repeated"
)
MENDED = "animated cmyk sixteen_bit alpha rotated box_out_of_frame"
POLICY = {
    **dict.fromkeys(REFUSED.split(), "refuse"),
    **dict.fromkeys(MENDED.split(), "mend"),
    "unlabelled_picture": "keep",
    "stray_file": "keep",
    "difficult_box": "keep",
    "path_traversal": "stop",
    "max_refused": 0.01,
    "max_pixels": 1_000_000,
    "min_box": 1.0,
}
COMPUTE = {"seed": 1, "threads": 1, "precision": "float32", "deterministic": True}


def write_params(
    path: Path, stage: str, values: dict[str, Any] | None, *, seconds: float = 3600, **compute: Any
) -> None:
    """The stage's section and those that every stage reads; checkpoints are `seconds` apart."""
    document = {
        "compute": COMPUTE | compute,
        "libraries": {},
        "checkpoints": {"seconds": seconds},
        stage: values,
    }
    path.write_text(yaml.safe_dump(document))
