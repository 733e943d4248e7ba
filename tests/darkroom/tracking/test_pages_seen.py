"""What a user sees of a run on Prefect's pages: the real server, a real run, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.cli.main import run_command
from darkroom.reporting.deliverers import PATIENCE
from darkroom.server import login_links
from darkroom.server.clients import client_of
from tests.darkroom.pages import browser_page, chromium
from tests.darkroom.repositories import make
from tests.darkroom.server.processes.temporary import temporary_server
from tests.darkroom.shapes import Shape

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium"),
]

FILES = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: cp in.txt data.txt
    deps: [in.txt]
    outs: [data.txt]
  train:
    cmd: python sheet.py && echo '{"accuracy":0.91}' > m.json
    deps: [data.txt, sheet.py]
    outs: [sheet.png]
    metrics: [m.json: {cache: false}]
  publish:
    cmd: echo nobody answers; exit 3
    deps: [sheet.png]
    outs: [never.txt]
""",
    "in.txt": "1\n",
    "sheet.py": "from PIL import Image\nImage.new('RGB', (200, 100), 'teal').save('sheet.png')\n",
}
DRAWN = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A link to a server that has a run of two stages that end well and one that fails."""
    root = make(tmp_path / "small", Shape("pages", FILES), tmp_path)
    folder = tmp_path / "server"
    monkeypatch.setenv(PATIENCE, "240")
    with temporary_server(folder) as url, client_of(folder, url):
        assert run_command(["run", "--keep-going", "--repo", str(root)]) == 1
        yield login_links.make(folder, url)


def test_a_run_its_stages_and_its_page(pages: str) -> None:
    with browser_page(pages) as page:
        page.goto(pages)  # which logs in, and leads to the list of runs
        page.get_by_role("link", name="small", exact=True).first.click()

        page.get_by_role("tab", name="Subflow Runs").click()
        for stage, state in {"prepare": "Completed", "train": "Completed", "publish": "Failed"}.items():
            row = page.locator("li, tr, [data-slot=card]").filter(has=page.get_by_role("link", name=stage))
            row.filter(has_text=state).first.wait_for()

        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_role("link", name="small-run").click()
        page.locator("a[href*='/artifacts/artifact/']").first.click()  # this run's among those of all runs
        told = page.get_by_test_id("markdown-display")
        told.get_by_role("heading", name="small: 1 stage failed, 2 ran").wait_for()
        told.get_by_text("nobody answers").wait_for()
        told.get_by_role("row", name="train accuracy 0.91").wait_for()
        for stage in ("prepare", "train", "publish"):
            told.locator("svg[id^=mermaid]").get_by_text(stage).wait_for()
        assert told.get_by_alt_text("sheet.png").evaluate(DRAWN) == [200, 100]
