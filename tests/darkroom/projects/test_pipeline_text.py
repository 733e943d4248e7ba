"""dvc.yaml edited as text: the rest stays as it is."""

import yaml

from darkroom.projects.pipeline_text import names_of, with_stage, without_entries, without_options

TEXT = """\
# above
stages:
  one: # the first
    cmd: echo 1

  two:
    cmd: >-
      echo --a x
      --b y --c z
    outs: [two]

# of plots
plots:
  - two
"""
ENTRY = "  three:\n    cmd: echo 3\n"


def test_a_stage_comes_after_the_others_and_all_else_stays() -> None:
    text = with_stage(TEXT, ENTRY)
    assert names_of(text, "stages") == ["one", "two", "three"]
    assert text.replace("\n" + ENTRY, "") == TEXT
    assert yaml.safe_load(text)["plots"] == ["two"]


def test_a_stage_in_a_file_that_has_none_yet() -> None:
    for text in ("", "stages:\n", "stages: {}\n", "plots: [a]\nstages: # none\n", "plots: [a]\n"):
        made = yaml.safe_load(with_stage(text, ENTRY))
        assert made["stages"] == {"three": {"cmd": "echo 3"}}
        assert made.get("plots", ["a"]) == ["a"]


def test_an_entry_goes_with_its_lines_alone() -> None:
    assert without_entries(TEXT, "stages", ["two"]) + "" == TEXT.replace(
        TEXT[TEXT.index("  two:") : TEXT.index("# of plots")], ""
    )
    assert without_entries(TEXT, "stages", []) == TEXT


def test_options_go_and_no_command_gets_an_empty_line() -> None:
    command = yaml.safe_load(without_options(TEXT, ["b", "c"]))["stages"]["two"]["cmd"]
    assert command == "echo --a x"
