"""Paths as people are shown them."""

from pathlib import Path

from darkroom.base.files import shown_path


def test_paths_in_a_clone_are_shown_from_the_root_of_its_project() -> None:
    root = Path("/p/project")
    clone = root / ".darkroom/clones/retrain/project"
    logs = ".darkroom/logs/20260102"
    assert shown_path(root / logs, root) == logs
    assert shown_path(root / logs, root / "sub") == f"../{logs}"
    assert shown_path(clone / logs, clone) == f".darkroom/clones/retrain/project/{logs}"
    assert shown_path(clone / logs, clone / "sub") == f".darkroom/clones/retrain/project/{logs}"
