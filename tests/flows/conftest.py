import logging
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_site_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC keeps states of files outside of the repository: not shared between tests."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
