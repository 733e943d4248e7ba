"""Lines that are put into .gitignore files, and taken out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.ledger.ignore_lines import add_ignore_lines, remove_ignore_lines


@pytest.mark.parametrize(
    ("held", "lines", "before", "expected"),
    [
        (None, ["/a", "/b", "/a"], (), b"/a\n/b\n"),
        (b"", ["/a"], (), b"/a\n"),
        (b"/x\n", ["/a", "/x"], (), b"/x\n/a\n"),
        (b"/x", ["/a"], (), b"/x\n/a\n"),  # without a line end
        (b"/x\r\n/y\r\n", ["/y", "/a"], (), b"/x\r\n/y\r\n/a\n"),
        (b"/x\n/y\n/z\n", ["/a", "/b"], ("/z", "/y"), b"/x\n/a\n/b\n/y\n/z\n"),
        (b"/x\n/y", ["/a"], ("/y",), b"/x\n/a\n/y"),
        (b"/x\n", ["/a"], ("/none",), b"/x\n/a\n"),
        (b"/\xe9\n", ["/é"], (), b"/\xe9\n/\xc3\xa9\n"),
    ],
)
def test_lines_that_are_not_there_are_added_at_the_end_or_before_others(
    tmp_path: Path, held: bytes | None, lines: list[str], before: tuple[str, ...], expected: bytes
) -> None:
    file = tmp_path / ".gitignore"
    if held is not None:
        file.write_bytes(held)
    assert add_ignore_lines(file, lines, before, tmp_path)
    assert file.read_bytes() == expected
    assert not add_ignore_lines(file, lines, before, tmp_path)
    assert file.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_takes_no_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "missing/.gitignore"
    with pytest.raises(FileNotFoundError, match="No such file") as raised:
        add_ignore_lines(file, ["/a"], (), tmp_path)
    assert raised.value.filename == str(file)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (b"/a\n/x\n/b\r\n/a/c\n", b"/x\n/a/c\n"),
        (b"/a\n/b", None),
        (b"/x", b"/x"),
        (None, None),
        (b"", None),
        (b"/x\n/a", b"/x\n"),
        (b"/a \n/aX\n/b\n", b"/a \n/aX\n"),  # other lines, which only begin so
    ],
)
def test_lines_are_taken_out_and_the_file_if_none_is_left(
    tmp_path: Path, held: bytes | None, expected: bytes | None
) -> None:
    file = tmp_path / ".gitignore"
    if held is not None:
        file.write_bytes(held)
    remove_ignore_lines(file, ["/a", "/b"], tmp_path)
    assert (file.read_bytes() if file.exists() else None) == expected
    assert [path for path in tmp_path.iterdir() if path != file] == []


def test_a_file_without_these_lines_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / ".gitignore"
    file.write_bytes(b"/x\n")
    before = file.stat()
    remove_ignore_lines(file, ["/a"], tmp_path)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
