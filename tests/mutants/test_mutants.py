"""What the command reads of mutmut's words, and that each listed fault has a reason and a function."""

import importlib

import pytest

from tests.mutants.__main__ import Fault, fault_of, reasons

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
