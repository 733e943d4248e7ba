"""Small DVC repositories, one for each shape of pipeline, and what is changed in them between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Files = Mapping[str, str | None]
"""Contents by path in the repository; None: delete it (a folder with all that is in it).

A byte that is no UTF-8 is written as "\\udce9".
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """`files` make the repository; after the first run each of `steps` is applied and followed by a run."""

    name: str
    files: Files
    steps: tuple[Files, ...] = ()
    root: str = ""
    """DVC's root below git's."""
    add: tuple[str, ...] = ()
    """Data for `dvc add`."""
    targets: tuple[str, ...] = ()
    all_pipelines: bool = False
    outside: Files | None = None
    """Files beside the repository, the same for both copies; {outside} in `files` stands for their folder."""


CHAIN = """\
stages:
  c:
    cmd: cat b.txt b.txt > c.txt
    deps: [b.txt]
    outs: [c.txt]
  b:
    cmd: cat a.txt > b.txt; echo b >> b.txt
    deps: [a.txt]
    outs: [b.txt]
  a:
    cmd: wc -c < in.txt > a.txt
    deps: [in.txt]
    outs: [a.txt]
"""

DIAMOND = """\
stages:
  join:
    cmd: cat left.txt right.txt > join.txt
    deps: [right.txt, left.txt]
    outs: [join.txt]
  right:
    cmd: cat top.txt > right.txt; echo r >> right.txt
    deps: [top.txt]
    outs: [right.txt]
  left:
    cmd: sleep 0.1; cat top.txt > left.txt; echo l >> left.txt
    deps: [top.txt]
    outs: [left.txt]
  top:
    cmd: cat in.txt > top.txt
    deps: [in.txt]
    outs: [top.txt]
"""

WIDE = "stages:\n" + "".join(
    f"  s{n}:\n    outs: [o{n}.txt]\n    cmd: sleep .{7 * n % 5}; cat in.txt > o{n}.txt\n    deps: [in.txt]\n"
    for n in range(8)
)

ONE = "stages:\n  one: {cmd: cat in.txt > o.txt, deps: [in.txt], outs: [o.txt]}\n"
FILE = "    - path: %s\n      hash: md5\n      md5: b026324c6904b2a9cb4b88d6d61c81d1\n      size: 2\n"
ONE_LOCK = (
    "schema: '2.0'\nstages:\n  one:\n    cmd: cat in.txt > o.txt\n"
    f"    deps:\n{FILE % 'in.txt'}    outs:\n{FILE % 'o.txt'}"
).replace("\n", "\r\n")

BACKWARDS = "stages:\n" + "".join(
    f"  s{n}: {{cmd: sleep .{3 - n}; cat in.txt > o{n}.txt, deps: [in.txt], outs: [o{n}.txt]}}\n"
    for n in range(3)
)
"""Whose stages end in another order than the serial one."""

FOREACH = """\
stages:
  train:
    foreach: [b, a, c]
    do:
      cmd: cat in.txt > model-${item}.txt; echo ${item} >> model-${item}.txt
      deps: [in.txt]
      outs: ["model-${item}.txt"]
  dict:
    do:
      cmd: echo ${key} ${item.x} > d-${key}.txt
      deps: [in.txt]
      outs: ["d-${key}.txt"]
    foreach:
      one: {x: 1}
      two: {x: 2}
  all:
    cmd: cat model-a.txt model-b.txt model-c.txt d-one.txt > all.txt
    deps: [model-a.txt, model-b.txt, model-c.txt, d-one.txt]
    outs: [all.txt]
"""

MATRIX = """\
stages:
  grid:
    matrix:
      size: [1, 2]
      model: [{name: x, lr: 0.1}, {name: y, lr: 1.0e-05}]
    cmd: echo ${item.size} ${item.model.name} ${item.model.lr} > g-${item.size}-${item.model.name}.txt
    deps: [in.txt]
    outs: ["g-${item.size}-${item.model.name}.txt"]
"""

TEMPLATES = """\
vars:
  - more.yaml
  - extra.json:nested
  - local: {name: here}
stages:
  t:
    cmd: echo ${deep.value} ${nested.n} ${local.name} ${lr} > t-${local.name}.txt
    deps: [in.txt]
    params: [lr, net]
    outs: ["t-${local.name}.txt"]
  u:
    vars: [{own: 3}]
    cmd: echo ${own} ${net.layers[0]} > u.txt
    deps: ["t-${local.name}.txt"]
    outs: [u.txt]
"""

PARAMS = """\
stages:
  p:
    cmd: cat params.yaml p.toml p.json p.py other.yaml > p.txt
    params:
      - lr
      - net.layers
      - net
      - p.toml: [a.b, c]
      - p.json: [x]
      - p.py: [LR, Net.depth, TUPLE]
      - other.yaml:
    outs: [p.txt]
  q:
    cmd: cat p.txt > q.txt
    deps: [p.txt]
    params: [seed]
    outs: [q.txt]
"""

DIRECTORIES = """\
stages:
  make:
    cmd: mkdir -p raw && cp in.txt raw/one && mkdir -p raw/deep && cp in.txt raw/deep/two
    deps: [in.txt]
    outs: [raw]
  inside:
    cmd: cat raw/deep/two > inside.txt
    deps: [raw/deep/two]
    outs: [inside.txt]
  left:
    cmd: sleep 0.2; mkdir -p work/l; cat raw/one > work/left.txt; echo l > work/l/x.txt
    deps: [raw]
    outs: [work/left.txt, work/l/x.txt]
  right:
    cmd: mkdir -p work; cat raw/one > work/right.txt; echo r >> work/right.txt
    deps: [raw]
    outs: [work/right.txt]
  third:
    cmd: mkdir -p work; cat in.txt > work/third.txt
    deps: [in.txt]
    outs: [work/third.txt]
  gather:
    cmd: cat work/left.txt work/right.txt work/third.txt > gathered.txt
    deps: [work]
    outs: [gathered.txt]
"""

KINDS = """\
stages:
  nodeps:
    cmd: echo nodeps > nodeps.txt
    outs: [nodeps.txt]
  noouts:
    cmd: cat in.txt
    deps: [in.txt]
  callback:
    cmd: echo callback
  always:
    cmd: cat in.txt > always.txt
    deps: [in.txt]
    always_changed: true
    outs: [always.txt]
  after-always:
    cmd: cat always.txt > after.txt
    deps: [always.txt]
    outs: [after.txt]
  uncached:
    cmd: cat in.txt > uncached.txt
    deps: [in.txt]
    outs: [{uncached.txt: {cache: false}}]
  persistent:
    cmd: cat in.txt >> persistent.txt
    deps: [in.txt]
    outs: [{persistent.txt: {persist: true}}]
  unpushed:
    cmd: cat in.txt > unpushed.txt
    deps: [in.txt]
    outs: [{unpushed.txt: {push: false, desc: not for the remote}}]
  measured:
    desc: metrics and plots
    meta: {owner: someone, resources: {cpu: 1, memory: 1MB}, priority: 3, timeout: 1m}
    cmd: >-
      mkdir -p m; wc -c < in.txt | awk '{print "{\\"size\\":" $1 "}"}' > m/metrics.json;
      cp m/metrics.json m/cached.json;
      printf 'x,y\\n1,2\\n' > m/plot.csv
    deps: [in.txt]
    metrics: [{m/metrics.json: {cache: false}}, m/cached.json]
    plots: [{m/plot.csv: {cache: false, x: x, y: y}}]
plots:
  - m/plot.csv: {x: x, y: y}
metrics: [m/metrics.json]
"""

FROZEN = """\
stages:
  up:
    cmd: sleep 0.2; cat in.txt > up.txt
    deps: [in.txt]
    outs: [up.txt]
  ice:
    cmd: cat up.txt > ice.txt
    deps: [up.txt]
    outs: [ice.txt]
    frozen: true
  down:
    cmd: cat ice.txt > down.txt
    deps: [ice.txt]
    outs: [down.txt]
"""

COMMANDS = """\
stages:
  lines:
    cmd: |
      echo one > lines.txt
      cat in.txt >> lines.txt
      echo "three 'quoted' # no comment" >> lines.txt
    deps: [in.txt]
    outs: [lines.txt]
  list:
    cmd:
      - cat lines.txt > list.txt
      - >-
        echo "a: very long line that the writer has to fold, for it is longer than eighty columns" >> list.txt
      - 'echo "{}[]&*!|>%@" >> list.txt'
    deps: [lines.txt]
    outs: [list.txt]
"""

UNICODE = """\
stages:
  grüße:
    cmd: cat "in.txt" > "öüt file ✓.txt"
    deps: [in.txt]
    outs: ["öüt file ✓.txt"]
  "with.dots-_1":
    cmd: 'cat "öüt file ✓.txt" "data dir/[x] #1.txt" > "data dir/two words.txt"'
    deps: ["öüt file ✓.txt", "data dir/[x] #1.txt"]
    outs: ["data dir/two words.txt"]
  slash/in/name:
    cmd: cat in.txt > '!bang*.txt'
    deps: [in.txt]
    outs: ['!bang*.txt']
"""

SEVERAL = {
    "dvc.yaml": """\
stages:
  last:
    cmd: cat sub/prep.txt w/out/x.txt > last.txt
    deps: [sub/prep.txt, w/out/x.txt]
    outs: [last.txt]
  moved:
    wdir: w
    cmd: mkdir -p out; cat ../in.txt > out/x.txt
    deps: [../in.txt]
    outs: [out/x.txt]
""",
    "sub/dvc.yaml": """\
stages:
  prep:
    cmd: cat ../in.txt > prep.txt
    deps: [../in.txt]
    outs: [prep.txt]
  alone:
    cmd: cat prep.txt > alone.txt
    deps: [prep.txt]
    outs: [alone.txt]
""",
    "w/keep": "",
}

DATA = """\
stages:
  use:
    cmd: cat data/raw.txt > used.txt
    deps: [data/raw.txt]
    outs: [used.txt]
  folder:
    cmd: cat data/folder/* > folder.txt
    deps: [data/folder]
    outs: [folder.txt]
"""

OUTSIDE = """\
stages:
  ext:
    cmd: cat {outside}/far.txt > near.txt
    deps: ["{outside}/far.txt"]
    outs: [near.txt]
  folder:
    cmd: cat {outside}/folder/* near.txt > folder.txt
    deps: ["{outside}/folder", near.txt]
    outs: [folder.txt]
"""

TOP_LEVEL = """\
artifacts:
  model: {path: join.txt, type: model, desc: the join, labels: [a]}
metrics: [m.json]
params: [other.yaml]
plots:
  - curves: {x: x, y: {p.csv: y}, template: linear}
"""

LIVE = """\
stages:
  train:
    cmd: >-
      mkdir -p live/plots; cp in.txt live/plots/loss.tsv;
      echo "{\\"loss\\": $(cat in.txt)}" > live/metrics.json
    deps: [in.txt]
    metrics: [{live/metrics.json: {cache: false}}]
    plots: [{live/plots: {cache: false, x: step}}]
metrics: [live/metrics.json]
plots: [{live/plots/loss.tsv: {y: loss}}]
"""

IN_FOLDERS = """\
vars: [{where: w}]
stages:
  fit:
    matrix:
      kind: [a/b, c]
      seed: ${seeds}
    wdir: ${where}
    cmd: mkdir -p $(dirname ${item.kind}); cat ../in.txt own.yaml > ${item.kind}-${item.seed}.txt
    deps: [../in.txt]
    params: [{own.yaml: [p]}]
    outs: ["${item.kind}-${item.seed}.txt"]
"""

EMPTY = """\
stages:
  make: {cmd: mkdir -p made, deps: [in.txt], outs: [made]}
  list: {cmd: ls made > list.txt, deps: [made], outs: [list.txt]}
"""

PARAMS_MADE = """\
stages:
  gen:
    cmd: cat in.txt > gen.yaml
    deps: [in.txt]
    outs: [gen.yaml]
  use:
    cmd: cat gen.yaml > use.txt
    params: [{gen.yaml: [x]}]
    outs: [use.txt]
  whole:
    cmd: cat gen.yaml other.txt > whole.txt
    deps: [other.txt]
    params: [{gen.yaml: }]
    outs: [whole.txt]
"""

ADDED = """\
stages:
  gen:
    cmd: cat in.txt > gen.txt
    deps: [in.txt]
    outs: [gen.txt]
  use:
    cmd: cat other.txt > use.txt
    deps: [other.txt]
    outs: [use.txt]
"""

IN = {"in.txt": "1\n"}
CHANGES: tuple[Files, ...] = ({"in.txt": "2\n"}, {}, {"in.txt": "1\n"})
"""Another input, nothing, and the first input again, which the run-cache knows."""

PARAM_FILES = {
    "params.yaml": "lr: 1.0e-5\nseed: 1\nnet:\n  layers: [1, 2]\n  act: relu\n  none: null\n  flag: yes\n",
    "p.toml": "c = 1\n[a]\nb = 'x'\n",
    "p.json": '{"x": {"y": 1e-7}, "z": 2}',
    "p.py": "LR = 0.1\nTUPLE = (1, 2)\nclass Net:\n    depth = 3\n",
    "other.yaml": f"k: v\nlong: {'a string so long that it has to be folded when written ' * 3}\n",
}

SHAPES = (
    Shape("chain", {"dvc.yaml": CHAIN, **IN}, (*CHANGES, {"b.txt": None}, {"c.txt": "edited\n"})),
    Shape(
        "diamond", {"dvc.yaml": DIAMOND, **IN}, (*CHANGES, {"dvc.yaml": DIAMOND.replace("echo r", "echo R")})
    ),
    Shape("wide", {"dvc.yaml": WIDE, **IN}, ({"in.txt": "2\n"}, {"o3.txt": None, "o5.txt": None})),
    Shape("foreach", {"dvc.yaml": FOREACH, **IN}, (*CHANGES, {"dvc.yaml": FOREACH.replace("[b,", "[n, b,")})),
    Shape("matrix", {"dvc.yaml": MATRIX, **IN}, ({"dvc.yaml": MATRIX.replace("[1, 2]", "[3, 1, 2]")},)),
    Shape(
        "templates",
        {
            "dvc.yaml": TEMPLATES,
            "more.yaml": "deep: {value: 5}\n",
            "extra.json": '{"nested": {"n": 1}, "other": 2}',
            **PARAM_FILES,
            **IN,
        },
        (
            {"more.yaml": "deep: {value: 6}\n"},
            {"params.yaml": PARAM_FILES["params.yaml"].replace("[1,", "[7,")},
        ),
    ),
    Shape(
        "params",
        {"dvc.yaml": PARAMS, **PARAM_FILES},
        (
            {"params.yaml": PARAM_FILES["params.yaml"].replace("seed: 1", "seed: 2")},
            {
                "p.toml": "c = 2\n[a]\nb = 'x'\n",
                "p.py": "LR = 0.2\nTUPLE = (1, 2)\nclass Net:\n    depth = 3\n",
            },
            {"other.yaml": "k: w\nnew: 1\n"},
        ),
    ),
    Shape(
        "params-made",
        {"dvc.yaml": PARAMS_MADE, "in.txt": "x: 1\ny: 1\n", "other.txt": "o\n"},
        (
            {"in.txt": "x: 2\ny: 1\n"},
            {"in.txt": "x: 1\ny: 1\n"},
            {"in.txt": "x: 2\ny: 1\n", "dvc.yaml": PARAMS_MADE.replace("[x]", "[x, y]")},
            {"in.txt": "x: 1\ny: 1\n", "gen.yaml": None},
        ),
    ),
    Shape(
        "added-dep",
        {"dvc.yaml": ADDED, "other.txt": "o\n", **IN},
        (
            {"in.txt": "2\n"},
            {"in.txt": "1\n", "dvc.yaml": ADDED.replace("[other.txt]", "[other.txt, gen.txt]")},
            {"in.txt": "3\n", "dvc.yaml": ADDED},
            {"in.txt": "4\n", "dvc.yaml": ADDED.replace("[other.txt]", "[gen.txt, other.txt]")},
        ),
    ),
    Shape("directories", {"dvc.yaml": DIRECTORIES, **IN}, (*CHANGES, {"work/left.txt": None}, {"raw": None})),
    Shape("kinds", {"dvc.yaml": KINDS, **IN}, CHANGES),
    Shape(
        "frozen",
        {"dvc.yaml": FROZEN.replace("    frozen: true\n", ""), **IN},
        ({"dvc.yaml": FROZEN}, {"in.txt": "2\n"}, {"ice.txt": "by hand\n", "in.txt": "3\n"}),
    ),
    Shape("commands", {"dvc.yaml": COMMANDS, **IN}, CHANGES),
    Shape("unicode", {"dvc.yaml": UNICODE, "data dir/[x] #1.txt": "x\n", **IN}, CHANGES),
    Shape("several", {**SEVERAL, **IN}, CHANGES),
    Shape("several-all", {**SEVERAL, **IN}, CHANGES, all_pipelines=True),
    Shape("several-target", {**SEVERAL, **IN}, CHANGES, targets=("sub/dvc.yaml:alone", "moved")),
    Shape(
        "data",
        {"dvc.yaml": DATA, "data/raw.txt": "raw\n", "data/folder/a": "a\n", "data/folder/b": "b\n"},
        (
            {"data/raw.txt": "edited\n"},
            {"data/folder/c": "c\n"},
            {"data/raw.txt": "raw\n"},
            {"used.txt": None},
        ),
        add=("data/raw.txt", "data/folder"),
    ),
    Shape(
        "outside",
        {"dvc.yaml": OUTSIDE},
        (
            {"{outside}/far.txt": "further\n"},
            {"{outside}/folder/b.txt": "b\n"},
            {"{outside}/far.txt": "far\n", "{outside}/folder/b.txt": "c\n"},
        ),
        outside={"far.txt": "far\n", "folder/a.txt": "a\n"},
    ),
    Shape(
        "matrix-in-folders",
        {"dvc.yaml": IN_FOLDERS, "params.yaml": "seeds: [1, 2]\n", "w/own.yaml": "p: 1\nq: 1\n", **IN},
        (
            {"params.yaml": "seeds: [2, 3, 1]\n"},
            {"w/own.yaml": "p: 2\nq: 1\n"},
            {"in.txt": "2\n", "w/own.yaml": "p: 1\nq: 2\n"},
            {"dvc.yaml": IN_FOLDERS.replace("kind: [a/b", "kind: [d, a/b")},
        ),
    ),
    Shape(
        "top-level", {"dvc.yaml": DIAMOND + TOP_LEVEL, "m.json": "{}", "p.csv": "x,y\n1,2\n", **IN}, CHANGES
    ),
    Shape("live", {"dvc.yaml": LIVE, **IN}, CHANGES),
    Shape("empty", {"dvc.yaml": "# no stages yet\n"}, ({"dvc.yaml": CHAIN, **IN}, {"dvc.yaml": ""})),
    Shape("empty-folder", {"dvc.yaml": EMPTY, **IN}, ({"made/by-hand": "1\n"}, {"made": None}, *CHANGES)),
    Shape(
        "no-lock",
        {"dvc.yaml": DIAMOND, **IN},
        ({"dvc.lock": None}, {"dvc.lock": None, "in.txt": "2\n"}, {"dvc.lock": None, "top.txt": None}),
    ),
    Shape(
        "no-cache", {"dvc.yaml": DIAMOND, **IN}, ({".dvc/cache": None}, {".dvc/cache/files": None}, *CHANGES)
    ),
    Shape(
        "ignored",
        {"dvc.yaml": DIRECTORIES, ".dvcignore": "*.tmp\nraw/skip\n", ".gitignore": "*.log\nraw", **IN},
        ({"raw/x.tmp": "1\n", "work/y.tmp": "1\n"}, {"raw/x.txt": "1\n"}, {"in.txt": "2\n"}),
    ),
    Shape(
        "renamed",
        {"dvc.yaml": CHAIN, **IN},
        (
            {"dvc.yaml": CHAIN.replace("outs: [b.txt]", "outs: [{b.txt: {cache: false}}]")},
            {"dvc.yaml": CHAIN.replace("  b:", "  bb:")},
            {"dvc.yaml": CHAIN.replace("deps: [a.txt]", "deps: [a.txt, in.txt]")},
            {"dvc.yaml": CHAIN.replace("outs: [b.txt]", "outs: [b.txt]\n    desc: of a\n    meta: {n: 1}")},
        ),
    ),
    Shape("symlinks", {"dvc.yaml": KINDS, ".dvc/config": "[cache]\n    type = symlink\n", **IN}, CHANGES),
    # What left.txt points at is gone, and comes back before `join` reads it.
    Shape(
        "broken-links",
        {"dvc.yaml": DIAMOND, ".dvc/config": "[cache]\n    type = symlink\n", **IN},
        ({".dvc/cache/files/md5/45/6e424e062bcfe7dac057a1383e1f05": None, "in.txt": "2\n"}, *CHANGES[1:]),
    ),
    Shape("hardlinks", {"dvc.yaml": DIAMOND, ".dvc/config": "[cache]\n    type = hardlink\n", **IN}, CHANGES),
    Shape(
        "shared-cache",
        {
            "dvc.yaml": DIRECTORIES,
            ".dvc/config": "[cache]\n  dir = ../../elsewhere\n  shared = group\n  type = 'reflink,copy'\n",
            **IN,
        },
        CHANGES,
        root="sub",
    ),
    Shape("autostage", {"dvc.yaml": DIAMOND, ".dvc/config": "[core]\n    autostage = true\n", **IN}, CHANGES),
    Shape("below-git", {"dvc.yaml": DIRECTORIES, **IN}, CHANGES, root="deep/er"),
    Shape(
        "foreign-ignores",
        {"dvc.yaml": BACKWARDS, ".gitignore": "# caf\udce9\r\n*.log\r\na\x0cb\u2028c", **IN},
        ({".gitignore": "*.tmp\r\n", "in.txt": "2\n"},),
    ),
    Shape(
        "windows-lock",
        {"dvc.yaml": ONE, **IN},
        ({"dvc.lock": ONE_LOCK}, {"o.txt": None}, {"dvc.lock": ONE_LOCK, "in.txt": "2\n"}),
    ),
    # DVC takes such a dep only where the root has no .dvcignore.
    Shape(
        "whole-repository",
        {"dvc.yaml": "stages:\n  all: {cmd: ls, deps: [.]}\n", ".dvcignore": None, **IN},
        ({"in.txt": "2\n"},),
    ),
    Shape("windows-line-ends", {"dvc.yaml": CHAIN.replace("\n", "\r\n"), **IN}, CHANGES),
)


def write(folder: Path, files: Files) -> None:
    """Write and delete as `files` say."""
    import shutil

    for name, text in files.items():
        path = folder / name
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # it may be a link into the cache
            path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
