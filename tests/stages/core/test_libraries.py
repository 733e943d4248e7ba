import sys
from importlib.metadata import version

import pytest
import torch  # noqa: F401 - one that is imported
import yaml

from stages.core.errors import LibraryError, ParamsError
from stages.core.libraries import check_libraries, installed, main

TORCH = version("torch").partition("+")[0]


def write(path, **libraries):
    path.write_text(yaml.safe_dump({"libraries": libraries}))
    return path


def test_libraries_that_are_as_they_should_be(tmp_path):
    path = write(tmp_path / "params.yaml", torch=TORCH, numpy=version("numpy"))
    assert check_libraries(path) == {"torch": TORCH, "numpy": version("numpy")}


def test_another_version_is_named_with_the_mend(tmp_path):
    path = write(tmp_path / "params.yaml", torch="1.0", numpy=version("numpy"))
    with pytest.raises(LibraryError) as refused:
        check_libraries(path)
    said = str(refused.value)
    assert f"torch is installed in version {TORCH}, libraries.torch asks for 1.0" in said
    assert said.endswith(f"python -m stages.core.libraries --params {path}")
    assert "numpy" not in said
    assert "\n" not in said


def test_what_the_stage_does_not_import_may_be_any(tmp_path):
    assert check_libraries(write(tmp_path / "params.yaml", nobody_imports_this="1.0")) == {}


def test_a_version_without_quotes_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"libraries.torch: input should be a valid string, got 2.1"):
        check_libraries(write(tmp_path / "params.yaml", torch=2.1))


def test_installed_versions_are_written_and_all_else_stays(tmp_path):
    path = tmp_path / "params.yaml"
    section = 'libraries: # all\n  # of torch\n  torch: "1.0" # old\n  numpy: "1"\n'
    path.write_text(f"# first\n{section}\nother:\n  torch: 1.0\n")
    main(params=path)
    assert path.read_text() == (
        f'# first\nlibraries: # all\n  # of torch\n  torch: "{TORCH}" # old\n  numpy: "{version("numpy")}"\n'
        "\nother:\n  torch: 1.0\n"
    )
    assert check_libraries(path)


def test_installed_versions_are_written_wherever_the_section_has_them(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("other: {torch: '1.0'} # ö\nlibraries: {'torch': '1.0', # old\n  numpy: \"1\"}\n")
    main(params=path)
    assert path.read_text() == (
        "other: {torch: '1.0'} # ö\n"
        f'libraries: {{\'torch\': "{TORCH}", # old\n  numpy: "{version("numpy")}"}}\n'
    )


def test_a_library_that_is_not_there():
    assert installed("no-such-library") == "none"


def test_a_library_that_is_imported_later_or_under_another_name(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "pywt", raising=False)
    path = write(tmp_path / "params.yaml", pywavelets="1.0")
    assert check_libraries(path) == {}
    monkeypatch.setitem(sys.modules, "pywt", object())
    with pytest.raises(LibraryError, match="pywavelets is installed in version"):
        check_libraries(path)
    with pytest.raises(LibraryError, match="nobody_imports_this is installed in version none"):
        check_libraries(
            write(tmp_path / "params.yaml", nobody_imports_this="1.0"), later=["nobody_imports_this"]
        )
