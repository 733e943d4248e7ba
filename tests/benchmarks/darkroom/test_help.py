"""The page with the help of all commands."""

import pytest

from benchmarks.darkroom.help import command_words, page
from darkroom.cli.main import app

pytestmark = pytest.mark.slow


def test_every_command_is_asked_and_stands_on_the_page() -> None:
    words = list(command_words())
    assert {one[0] for one in words if one} == set(app.commands)
    assert () in words
    assert ("add", "stage") in words
    text = page([(one, f"Usage: darkroom {' '.join(one)}.\n", 0.125) for one in words], 1)
    for one in words:
        name = " ".join(["darkroom", *one])
        assert f"| `{name}` | 0.12 |" in text
        assert f"## {name}\n\n```text\nUsage: darkroom {' '.join(one)}.\n```\n" in text
