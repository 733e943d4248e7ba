"""From a source's rows to usable pictures: decoded, checked, without repeats, with boxes in the frame."""

import re
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.packed import Split
from stages.intake.columns import Shared, Texts
from stages.intake.form import Form
from stages.intake.geometry import fit_boxes
from stages.intake.intake import Task, take_in
from stages.intake.picture_cache import Facts, folder_for
from stages.intake.pixel_rows import PixelRows, Place
from stages.preprocess.duplicates import Groups, equal_groups, near_groups, union
from stages.sources.policy import Findings
from stages.sources.rows import NO_BOXES, Boxes, Finding, FindingKind, Found, Polygon, Row, led_out

OVERHANG = 0.5  # pixels by which rounding may put a box outside

Rows = npt.NDArray[np.int64]

RANK: dict[Split | None, int] = {None: 0, "train": 0, "val": 1, "test": 2}
"""Rank of the splits: of equal pictures in two splits the one in the split of lower rank is refused."""


@dataclass(slots=True)
class Gathered:
    """Pictures of one source; lists and arrays have an entry for each."""

    pixels: PixelRows
    where: Texts = field(default_factory=Texts)
    labels: Shared[tuple[str, ...]] = field(default_factory=Shared)
    boxes: list[Boxes] = field(default_factory=list)
    """The boxes of each picture in the frame, [K, 4]."""
    polygons: dict[int, dict[int, tuple[Polygon, ...]]] = field(default_factory=dict)
    """Polygons in the frame, by picture and box, where the data gives them and no box."""
    places: Texts = field(default_factory=Texts)
    """The places of each picture's boxes in its file, with tabs between them."""
    splits: Shared[Split | None] = field(default_factory=Shared)
    groups: Shared[str | None] = field(default_factory=Shared)
    captions: Texts = field(default_factory=Texts)
    """Empty where the data has none."""
    attributes: "dict[str, array[float]]" = field(default_factory=dict)
    """Columns by name."""
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    """Width and height of the originals, by turns."""
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    looks: "array[int]" = field(default_factory=lambda: array("Q"))
    seen: int = 0
    """Pictures that the source spoke of, refused ones too."""
    boxes_seen: int = 0
    """Boxes of pictures that could be read, and those that could not be read themselves."""
    boxes_refused: int = 0
    """How many of these are no boxes or of no known class."""
    reach: float = 0.0
    """The greatest coordinate of a box as its source has it, in pixels."""

    def __len__(self) -> int:
        return len(self.where)

    def rank(self, row: int) -> int:
        """The rank of the picture's split."""
        return RANK[self.splits[row]]

    def stated(self, row: int) -> tuple[tuple[str, ...], bytes] | None:
        """Labels and boxes of a picture, to be compared; None for test, which is not sifted."""
        return None if self.splits[row] == "test" else (self.labels[row], self.boxes[row].tobytes())

    def add(
        self,
        row: Row,
        facts: Facts,
        place: Place,
        boxes: Boxes,
        labels: tuple[str, ...],
        places: Sequence[str],
        group: str | None,
    ) -> None:
        """Append a picture."""
        self.where.append(row.where)
        self.labels.append(labels)
        self.boxes.append(boxes)
        self.places.append("\t".join(places))
        self.splits.append(row.split)
        self.groups.append(group)
        if row.caption is not None:
            self.captions.append(row.caption)
        for name, number in row.attributes.items():
            self.attributes.setdefault(name, array("d")).append(number)
        self.pixels.append(place)
        self.sizes.extend((facts.width, facts.height))
        self.digests.extend(facts.digest)
        self.looks.extend(facts.look)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathering:
    """What is gathered, and in which form."""

    form: Form
    raw: Path
    """The folder that no link may lead out of."""
    classes: list[str] | None
    """The classes that the data may name; None: any."""
    group_pattern: str | None
    near_duplicates: int | None
    scratch: Path
    """A folder for pixels that no cache is to keep."""
    processes: int
    """How many decode pictures; 0: this one, which a picture that crashes its decoder would end."""
    cache: Path | None


def gather(found: Found, gathering: Gathering, findings: Findings) -> Gathered:
    """Decode every row's picture and check what its source says of it.

    Raises:
        DataError: The policy stops at a finding.

    """
    waiting: deque[Row | Finding] = deque()
    form, remember = gathering.form, gathering.cache is not None
    folder = folder_for(gathering.cache, form) if gathering.cache else gathering.scratch
    gathered = Gathered(PixelRows(folder=folder, shape=(form.height, form.width, form.channels)))
    tasks = _tasks(_within(found, gathering.raw), waiting)
    for facts in take_in(tasks, form, folder, processes=gathering.processes, remember=remember):
        _note_findings(waiting, findings, gathered)
        row = waiting.popleft()
        assert isinstance(row, Row)
        gathered.seen += 1
        _judge(row, facts, gathering, findings, gathered)
    _note_findings(waiting, findings, gathered)
    return gathered


def _within(found: Found, raw: Path) -> Found:
    """The rows; in place of one whose picture lies outside of the folder, a finding."""
    for one in found:
        is_file = isinstance(one, Row) and isinstance(one.picture, Path)
        led = led_out(one.where, one.picture, raw) if is_file else None  # type: ignore[union-attr,arg-type]
        yield one if led is None else led


def _tasks(found: Found, waiting: deque[Row | Finding]) -> Iterator[Task]:
    """The pictures to decode. Rows and findings wait in their order, however fast the processes are."""
    for one in found:
        waiting.append(one)
        if isinstance(one, Row):
            yield one.picture, one.crop


def _note_findings(waiting: deque[Row | Finding], findings: Findings, gathered: Gathered) -> None:
    while waiting and isinstance(waiting[0], Finding):
        finding = waiting.popleft()
        assert isinstance(finding, Finding)
        action = findings.add(finding.kind, finding.where, finding.what)
        gathered.seen += action == "refuse" and finding.kind != "invalid_box"
        gathered.boxes_refused += finding.kind == "invalid_box"
        gathered.boxes_seen += finding.kind == "invalid_box"


def _judge(row: Row, facts: Facts, gathering: Gathering, findings: Findings, gathered: Gathered) -> None:
    """Append the picture, unless something about it is refused."""
    refused = facts.place is None
    for oddity in facts.oddities:
        findings.add(oddity, row.where, facts.what)  # type: ignore[arg-type]
    if row.size is not None and facts.width and row.size != (facts.width, facts.height):
        what = f"annotated as {row.size[0]} x {row.size[1]}, it is {facts.width} x {facts.height}"
        refused |= findings.add("size_differs", row.where, what) == "refuse"
    kept: list[int] | None = None
    if not row.places and not row.lost:  # classified as a whole, or nothing is in it
        unknown = _unknown(row.labels, gathering.classes)
        if unknown:
            refused |= findings.add("unknown_class", row.where, unknown[0]) == "refuse"
    elif not refused:
        kept = _boxes_to_keep(row, facts, gathering, findings, gathered)
        if not kept:
            what = f"each of its {len(row.places) + row.lost} boxes is refused"
            refused |= findings.add("no_box_left", row.where, what) == "refuse"
    if facts.place is not None and not refused:
        if kept is not None:
            polygons = _polygons_in_frame(row, kept, facts, gathering)
            if polygons:
                gathered.polygons[len(gathered)] = polygons
        boxes = NO_BOXES if kept is None else _in_frame(row.boxes, facts, gathering)[kept]
        labels = row.labels if kept is None else tuple(row.labels[number] for number in kept)
        places = [row.places[number] for number in kept or ()]
        group = row.group or _group(row, gathering.group_pattern)
        gathered.add(row, facts, facts.place, boxes, labels, places, group)


def _unknown(labels: tuple[str, ...], classes: list[str] | None) -> list[str]:
    return (
        []
        if classes is None
        else [f"{label!r} is not in classes" for label in labels if label not in classes]
    )


def _group(row: Row, pattern: str | None) -> str | None:
    match = re.search(pattern, str(row.picture)) if pattern and isinstance(row.picture, Path) else None
    return match[1] if match else None


def _in_frame(boxes: Boxes, facts: Facts, gathering: Gathering) -> Boxes:
    """The boxes [K, 4] of a picture as they lie in the frame."""
    form = gathering.form
    return fit_boxes(boxes, (facts.width, facts.height), form.frame, form.fit)


def _boxes_to_keep(
    row: Row, facts: Facts, gathering: Gathering, findings: Findings, gathered: Gathered
) -> list[int]:
    """The numbers of the boxes that are worth keeping."""
    size = facts.width, facts.height
    frame = _in_frame(row.boxes, facts, gathering)
    kept = []
    before: set[tuple[str, bytes]] = set()
    gathered.boxes_seen += len(row.places)
    gathered.reach = max(gathered.reach, float(row.boxes.max(initial=0)))
    for number, place in enumerate(row.places):
        edges = " ".join(f"{edge:g}" for edge in row.boxes[number])
        what = f"{place}, {row.labels[number]}: box {edges} in a picture of {size[0]} x {size[1]}"
        wrong = _wrong_with(row.boxes[number], size, frame[number], findings.policy.min_box)
        if number in row.marked:
            wrong = [row.marked[number], *wrong]
        same = row.labels[number], row.boxes[number].tobytes()
        if same in before:
            wrong = ["repeated_box"]
        if _unknown((row.labels[number],), gathering.classes):
            wrong = ["unknown_class"]
        before.add(same)
        refused = [kind for kind in wrong if findings.add(kind, row.where, what) == "refuse"]
        gathered.boxes_refused += bool({"invalid_box", "unknown_class"} & set(refused))
        if not refused:
            kept.append(number)
    return kept


def _polygons_in_frame(
    row: Row, kept: list[int], facts: Facts, gathering: Gathering
) -> dict[int, tuple[Polygon, ...]]:
    """The polygons of the kept boxes, by the number that the box has among those."""
    framed: dict[int, tuple[Polygon, ...]] = {}
    for place, number in enumerate(kept):
        if number in row.polygons:
            points = [np.array(polygon, np.float32).reshape(-1, 2) for polygon in row.polygons[number]]
            moved = [_in_frame(np.hstack([each, each]), facts, gathering)[:, :2] for each in points]
            framed[place] = tuple(tuple(each.ravel().tolist()) for each in moved)
    return framed


def _wrong_with(
    box: npt.NDArray[np.float32], size: tuple[int, int], framed: npt.NDArray[np.float32], min_box: float
) -> list[FindingKind]:
    x1, y1, x2, y2 = box.tolist()
    width, height = size
    if x2 <= x1 or y2 <= y1 or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return ["invalid_box"]
    wrong: list[FindingKind] = []
    if min(x1, y1) < -OVERHANG or x2 > width + OVERHANG or y2 > height + OVERHANG:
        wrong.append("box_out_of_frame")
    if min(framed[2] - framed[0], framed[3] - framed[1]) < min_box:
        wrong.append("tiny_box")
    return wrong


def sift(gathered: Gathered, gathering: Gathering, findings: Findings) -> tuple[Rows, Groups]:
    """Choose the pictures that stand neither twice nor in two splits, and number their groups.

    What the data calls test is never sifted: others' figures are measured on all of it.
    """
    digests = np.frombuffer(gathered.digests, np.uint64).reshape(-1, 2)
    equal = equal_groups(digests)
    kept = _without_repeats(gathered, equal, findings)
    groups = equal[kept]
    if any(gathered.groups.different()):
        groups = union(groups, _named_groups(gathered, kept))
    if gathering.near_duplicates is not None:
        looks = np.frombuffer(gathered.looks, np.uint64).reshape(-1, 2)[kept]
        groups = union(groups, near_groups(looks, gathering.near_duplicates))
    stay = _without_companions(gathered, kept, groups, findings)
    gathered.digests, gathered.looks = array("Q"), array("Q")  # of no further use, 32 bytes a picture
    return kept[stay], groups[stay]


def _without_repeats(gathered: Gathered, equal: Groups, findings: Findings) -> Rows:
    stay = np.ones(len(gathered), dtype=bool)
    together: list[int] = np.flatnonzero(np.bincount(equal)[equal] > 1).tolist() if len(equal) else []
    groups: dict[int, list[int]] = {}
    for row in together:
        groups.setdefault(int(equal[row]), []).append(row)
    highest = {group: max(rows, key=lambda row: (gathered.rank(row), -row)) for group, rows in groups.items()}
    different = {group: _differing(gathered, rows) for group, rows in groups.items()}
    seen: set[int] = set()
    for row in together:
        group = int(equal[row])
        wrong = _repeat(gathered, row, highest[group], different[group], group in seen)
        if wrong is not None and findings.add(wrong[0], gathered.where[row], wrong[1]) == "refuse":
            stay[row] = False
        else:
            seen.add(group)
    return np.flatnonzero(stay)


def _differing(gathered: Gathered, rows: list[int]) -> list[int]:
    """The first row of each statement about equal pictures; of the test's nothing is compared."""
    firsts: dict[tuple[tuple[str, ...], bytes], int] = {}
    for row in rows:
        if (stated := gathered.stated(row)) is not None:
            firsts.setdefault(stated, row)
    return list(firsts.values())


def _repeat(
    gathered: Gathered, row: int, highest: int, differing: list[int], seen: bool
) -> tuple[FindingKind, str] | None:
    """The finding on one of several equal pictures; `highest` is the row with the highest rank."""
    split, stated = gathered.splits[highest], gathered.stated(row)
    if gathered.rank(highest) > gathered.rank(row):
        return "in_another_split", f"equals {gathered.where[highest]} in {split}"
    if stated is None:  # of the test
        return None
    if len(differing) > 1:
        other = next(other for other in differing if gathered.stated(other) != stated)
        said = ", ".join(sorted(set(gathered.labels[other]))) or "nothing"
        what = f"equals {gathered.where[other]}, of which something else is said: {said}"
        return "under_several_labels", what
    return ("repeated", f"equals {gathered.where[highest]}") if seen else None


def _named_groups(gathered: Gathered, rows: Rows) -> Groups:
    """A number for each group that has a name; every picture without one stands alone."""
    names: dict[str, int] = {}
    fresh = count(len(rows))
    named = [gathered.groups[row] for row in rows]
    numbers = [next(fresh) if name is None else names.setdefault(name, len(names)) for name in named]
    return np.array(numbers, dtype=np.int64)


def _without_companions(gathered: Gathered, rows: Rows, groups: Groups, findings: Findings) -> Rows:
    """Positions in `rows` of pictures with no near duplicate and none of their group in a higher split."""
    if not any(gathered.splits.different()):
        return np.arange(len(rows))
    ranks = np.array([RANK[gathered.splits[row]] for row in rows])
    order = np.lexsort((-ranks, groups))  # the first of each group has its highest rank
    firsts = order[np.flatnonzero(np.diff(groups[order], prepend=-1))]
    best = firsts[np.searchsorted(groups[firsts], groups)]
    stay = np.ones(len(rows), dtype=bool)
    for position in np.flatnonzero(ranks < ranks[best]):
        other = int(rows[best[position]])
        what = f"near duplicate, or of one group with {gathered.where[other]} in {gathered.splits[other]}"
        action = findings.add("companion_in_another_split", gathered.where[rows[position]], what)
        stay[position] = action != "refuse"
    return np.flatnonzero(stay)
