"""Read five public data sets by what `darkroom data` writes, and count them by other means.

`python -m benchmarks.stages.intake.public_sets FOLDER` wants each set as its repository has it, below FOLDER:

raccoon   github.com/datitran/raccoon_dataset: a CSV of boxes
kangaroo  github.com/experiencor/kangaroo: Pascal VOC, with folders of its own names
cells     github.com/cosmicad/dataset: Pascal VOC, some pictures without annotations
coco128   github.com/lightly-ai/coco128_yolo: YOLO, 76 classes
digits    github.com/ardamavi/Sign-Language-Digits-Dataset: a folder for each class, beside others

Labels are counted here by a few lines for each set, which share nothing with the readers of `preprocess`.
What preprocess packs must be that, less what findings.csv names as refused. `--out FILE` writes what it
prints.
"""

import argparse
import csv
import difflib
import json
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe
from benchmarks.stages.training import ROOT

Counts = dict[str, Counter[str]]
"""The labels of each picture, by its name without folder and suffix."""


def raccoons(folder: Path) -> Counts:
    counts: Counts = {}
    with (folder / "data/raccoon_labels.csv").open() as table:
        for row in csv.DictReader(table):
            counts.setdefault(Path(row["filename"]).stem, Counter())[row["class"]] += 1
    return counts


def voc(annotations: str) -> Callable[[Path], Counts]:
    def count(folder: Path) -> Counts:
        files = sorted((folder / annotations).glob("*.xml"))
        return {file.stem: Counter(name.text or "" for name in names_in(file)) for file in files}

    return count


def names_in(file: Path) -> list[ET.Element]:
    return ET.parse(file).getroot().findall("object/name")  # of a known repository


def coco128(folder: Path) -> Counts:
    names = yaml.safe_load((folder / "object_detection/config.yaml").read_text())["names"]
    counts: Counts = {}
    for picture in (folder / "images").glob("*/*.jpg"):
        labels = folder / "object_detection/labels" / picture.parent.name / f"{picture.stem}.txt"
        lines = set(labels.read_text().splitlines()) if labels.is_file() else set()
        counts[picture.stem] = Counter(names[int(line.split()[0])] for line in lines if line.strip())
    return counts


def digits(folder: Path) -> Counts:
    pictures = (folder / "Dataset").glob("*/*.JPG")
    return {picture.stem: Counter([picture.parent.name]) for picture in pictures}


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """How a set is counted, and what its params need beside what `darkroom data` writes."""

    count: Callable[[Path], Counts]
    policy: Mapping[str, Any]
    learnt_alone: bool = False
    """Whether classes without a box to train on have to be left out."""


SETS = {
    "raccoon": PublicSet(count=raccoons, policy={"max_refused": 0.1}),
    "kangaroo": PublicSet(count=voc("annots"), policy={"max_refused": 0.1}),
    "cells": PublicSet(count=voc("Annotations"), policy={}),
    "coco128": PublicSet(count=coco128, policy={"max_refused": 0.1}, learnt_alone=True),
    "digits": PublicSet(count=digits, policy={"max_refused": 0.1}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = [
        "# Five public data sets\n",
        f"`python -m benchmarks.stages.intake.public_sets FOLDER` on {describe()}.\n",
        "`darkroom data FOLDER --write` writes the section; `by hand` is what params.yaml needs beside."
        " Lines: those of params.yaml that are new or changed. Minutes: of preprocess, without a cache."
        " Equal: of each class as many labels are packed as a count by other means gives, less those refused"
        " and named.\n",
        "| set | format | pictures | labels | refused | packed | | lines | minutes | by hand |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as scratch:
            lines.append(row_of(name, SETS[name], (arguments.folder / name).resolve(), Path(scratch)))
            print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def row_of(name: str, one: PublicSet, raw: Path, scratch: Path) -> str:
    """A row of the table."""
    counts, params = one.count(raw), scratch / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    params.write_text(before)
    called(["stages.by_hand.data", str(raw), "--write", "--params", str(params)])
    beside = [f"policy.{key}: {value}" for key, value in one.policy.items()]
    if one.policy:
        policy = f"preprocess:\n  policy: {json.dumps(dict(one.policy))}\n"
        params.write_text(params.read_text().replace("preprocess:\n", policy, 1))
    outs = {key: scratch / key for key in ("classification", "detection", "metrics", "report")}
    files = {**outs, "raw": raw, "params": params, "sheet": scratch / "sheet.png"}
    words = [word for key, file in files.items() for word in (f"--{key}", str(file))]
    start = time.perf_counter()
    while one.learnt_alone and (said := called(["stages.preprocess", *words], may_fail=True)):
        leave_out(params, counts, said)  # what remains is split anew, and may lack others
        start = time.perf_counter()
    if not one.learnt_alone:
        called(["stages.preprocess", *words])
    minutes = (time.perf_counter() - start) / 60
    section = yaml.safe_load(params.read_text())["preprocess"]
    task = "detection" if section["detection"] else "classification"
    wanted = sum(counts.values(), Counter[str]())
    if left := len(set(wanted) - set(section[task]["classes"] or wanted)):
        beside.append(f"classes: all but {left}")
    refused = refused_in(outs["report"] / "findings.csv", counts)
    figures = json.loads(outs["metrics"].read_text())[task]
    packed: Counter[str] = Counter()
    for split in ("train", "val", "test"):
        packed += Counter(figures[split]["by_class" if task == "classification" else "boxes_by_class"])
    equal = wanted - refused == packed
    changed = difflib.ndiff(before.splitlines(), params.read_text().splitlines())
    return (
        f"| {name} | {section[task]['format']} | {len(counts):,} | {wanted.total():,} | {refused.total()} "
        f"| {packed.total():,} | {'equal' if equal else f'DIFFERENT: {dict(wanted - refused - packed)}'} "
        f"| {sum(line.startswith('+ ') for line in changed)} | {minutes:.1f} | {'; '.join(beside)} |"
    )


def leave_out(params: Path, counts: Counts, said: str) -> None:
    """Name all classes but those that preprocess refuses, since no training picture has a box of theirs."""
    found = re.search(r"no picture of (.*); add some", said)
    if not found:
        raise SystemExit(said)
    text = params.read_text()
    line = next(line for line in text.splitlines() if line.startswith("    classes: "))
    known = yaml.safe_load(line)["classes"] or sorted(sum(counts.values(), Counter[str]()))
    names = [name for name in known if name not in found[1].split(", ")]
    params.write_text(text.replace(line, f"    classes: {json.dumps(names)}"))


def refused_in(findings: Path, counts: Counts) -> Counter[str]:
    """The labels that findings.csv names as refused: all of a picture, or one box of another."""
    pictures, boxes = set(), []
    with findings.open() as table:
        for row in csv.DictReader(table):
            words = [Path(word).stem for word in row["where"].split(": ")]
            stem = next((word for word in words if word in counts), None)
            if row["action"] != "refuse" or stem is None:
                continue
            label = re.search(r", ([^,]*): box ", row["what"])
            if label or row["kind"] == "unknown_class":
                boxes.append((stem, label[1] if label else ""))
            else:
                pictures.add(stem)
    whole = sum((counts[stem] for stem in pictures), Counter[str]())
    return whole + Counter(label for stem, label in boxes if stem not in pictures)


def called(words: list[str], *, may_fail: bool = False) -> str:
    """What a module says where it does not end well; empty where it does."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise SystemExit(f"{words[0]}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr if done.returncode else ""


if __name__ == "__main__":
    main()
