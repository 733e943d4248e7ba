"""The addresses for notices, as their file says."""

from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.service.notices import read_addresses


def test_a_file_that_is_no_utf_8_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / ".darkroom" / "notify"
    file.parent.mkdir()
    file.write_bytes("# caf\u00e9\n".encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(UsageError, match="notify: is not UTF-8 at byte 5; save it as UTF-8"):
        read_addresses(tmp_path)
