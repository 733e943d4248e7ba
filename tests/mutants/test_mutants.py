"""What the command reads of mutmut's words, its sets and its page; each listed fault has a reason."""

import importlib
import tomllib
from dataclasses import replace

import pytest

from tests.mutants.__main__ import Fault, fault_of, reasons
from tests.mutants.report import ModuleFaults, page
from tests.mutants.sets import SETS, MutantSet
from tests.places import ROOT

SHOWN = """\
# darkroom.gpus.choice.xǁCountedDevicesǁ_count__mutmut_3: survived
--- flows/darkroom/gpus/choice.py
+++ flows/darkroom/gpus/choice.py
@@ -1,4 +1,4 @@
 def _count(self):
-    if a and b:
-        go(a,
+    if a or b:
+        go(b,
     c = 1
"""


def test_a_fault_is_known_by_its_function_and_the_lines() -> None:
    method = Fault("darkroom.gpus.choice.CountedDevices._count", "if a and b: go(a,", "if a or b: go(b,")
    assert fault_of(SHOWN) == method
    function = SHOWN.replace("xǁCountedDevicesǁ_count", "x__awaited")
    assert fault_of(function) == Fault("darkroom.gpus.choice._awaited", method.before, method.after)


@pytest.mark.parametrize("fault", reasons(), ids=lambda fault: f"{fault.function}: {fault.after}")
def test_a_listed_fault_is_one_of_a_function_that_is_there(fault: Fault) -> None:
    assert len(reasons()[fault]) > 10
    module, *names = fault.function.rsplit(".", 2 if fault.function.split(".")[-2][:1].isupper() else 1)
    found = importlib.import_module(module)
    for name in names:
        found = getattr(found, name)


@pytest.mark.parametrize("one", SETS.values(), ids=lambda one: one.name)
def test_what_a_set_names_lies_in_its_tree(one: MutantSet, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("tests.mutants.sets.TREES", tmp_path)
    one.lay_out()
    one.lay_out()  # it may be there already
    written = tomllib.loads((one.tree / "pyproject.toml").read_text())["tool"]
    section = written.pop("mutmut")
    named = ("source_paths", "only_mutate", "pytest_add_cli_args_test_selection", "also_copy")
    assert [path for key in named for path in section[key] if not (one.tree / path).exists()] == []
    assert written == tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_the_page_counts_and_names_what_is_left() -> None:
    first = ModuleFaults(module="a", tried=200, noticed=195, equivalent=3)
    text = page("figures", [first, replace(first, module="b", tried=100, noticed=97)], ["b.f: `x` -> `y`"], 7)
    assert "| a | 200 | 195 (97.5%) | 3 | 2 |" in text
    assert "| all | 300 | 292 (97.3%) | 6 | 2 |" in text
    assert "7 more faults" in text
    assert text.endswith("- b.f: `x` -> `y`\n")
    assert "Neither" not in page("figures", [first], [], 0)
