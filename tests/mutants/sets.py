"""The sets of modules that get faults, and the tree that mutmut works in on each of them.

mutmut reads `[tool.mutmut]` of the pyproject.toml in the folder that it is started in. So each set has a file
with that section, and a tree of its own, of links and of a pyproject.toml that ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.places import ROOT

TREES = ROOT / ".mutants"
LAID_OUT = {name: name for name in ("tests", "stages", "docs", "params.yaml", "dvc.yaml")}
"""What lies in each tree, and what of the project it is."""


@dataclass(frozen=True, slots=True)
class MutantSet:
    """Modules that decide something, and the tests that must notice faults in them."""

    name: str
    sources: dict[str, str] = field(default_factory=dict)
    """What lies in this tree alone."""

    @property
    def tree(self) -> Path:
        """The folder that mutmut works in; what earlier faults came to is in it, too."""
        return TREES / self.name

    @property
    def section(self) -> Path:
        """The file with `[tool.mutmut]`."""
        return Path(__file__).with_name(f"{self.name}.toml")

    def lay_out(self) -> None:
        """Make the tree, or bring it up to date."""
        self.tree.mkdir(parents=True, exist_ok=True)
        for name, path in (LAID_OUT | self.sources).items():
            (self.tree / name).unlink(missing_ok=True)
            (self.tree / name).symlink_to(ROOT / path)
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / "pyproject.toml", self.section)]
        (self.tree / "pyproject.toml").write_text("\n".join(texts), encoding="utf-8")


SETS = {one.name: one for one in (MutantSet("decisions", {"src": "flows"}), MutantSet("figures"))}
