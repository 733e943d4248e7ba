"""What the wheel holds beside the package `darkroom`: the vision half, as data for new projects."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATE = "darkroom/templates/vision"
VISION_HALF = ("stages", "dvc.yaml", "params.yaml", ".dvcignore")


class VisionTemplate(BuildHookInterface[Any]):
    """Copies the vision half into the wheel, for which it is no package: projects run code of their own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files and where they go; an editable install finds them in the repository itself."""
        if version == "standard":
            build_data["force_include"].update({name: f"{TEMPLATE}/{name}" for name in VISION_HALF})
