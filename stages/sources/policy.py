"""What is done about each thing that can be wrong with data: section `preprocess.policy`."""

from collections import Counter
from typing import Literal

from pydantic import Field

from stages.core.errors import DataError
from stages.core.params import StageParams
from stages.sources.rows import Finding, Kind

Action = Literal["keep", "mend", "refuse", "stop"]
RefuseOrStop = Literal["refuse", "stop"]
MendOrRefuse = Literal["mend", "refuse", "stop"]
KeepOrRefuse = Literal["keep", "refuse", "stop"]


class Policy(StageParams):
    """keep: only counted; mend: made good; refuse: left out; stop: the stage ends with one line.

    Whatever is found is counted and named in the report.
    """

    unreadable: RefuseOrStop
    """No picture, or of a format that is not known."""
    truncated: RefuseOrStop
    """A file that ends early."""
    damaged: KeepOrRefuse
    """Inside of a JPEG, as far as its decoder notices; keep: decoded as well as it can be."""
    bomb: RefuseOrStop
    """More than `max_pixels`."""
    missing_picture: RefuseOrStop
    """Something is said of a file that is not there."""
    path_traversal: RefuseOrStop
    """A name that leads out of its folder."""
    bad_row: RefuseOrStop
    """A line or a file of annotations that cannot be understood."""
    unknown_class: RefuseOrStop
    """One that `classes` does not name; of a box: the box alone is refused."""
    size_differs: KeepOrRefuse
    """The annotation speaks of a picture of another size."""
    animated: MendOrRefuse
    """mend: its first picture."""
    cmyk: MendOrRefuse
    """mend: as RGB."""
    sixteen_bit: MendOrRefuse
    """mend: the range of 16 bits scaled to 8."""
    alpha: MendOrRefuse
    """mend: laid on `ground`."""
    rotated: Literal["keep", "mend", "refuse", "stop"]
    """By its EXIF orientation. mend: turned upright; keep: as it is stored, and its boxes are read so."""
    unlabelled_picture: Literal["keep", "stop"]
    """Of which nothing is said; it is never packed."""
    stray_file: Literal["keep", "stop"]
    """Not named as a picture is."""
    invalid_box: RefuseOrStop
    """No four numbers, no area, or wholly outside of its picture; the box alone is refused."""
    box_out_of_frame: MendOrRefuse
    """In part; mend: cut to the picture."""
    tiny_box: KeepOrRefuse
    """A side of less than `min_box` as packed; the box alone is refused."""
    crowd_box: KeepOrRefuse
    """COCO's `iscrowd`: a box round many things at once; keep: as one thing; the box alone is refused."""
    difficult_box: KeepOrRefuse
    """VOC's `difficult`: hard to tell even for people; keep: as any other; the box alone is refused."""
    in_another_split: KeepOrRefuse
    """An equal picture is in the test or val split; what is refused is the other."""
    companion_in_another_split: KeepOrRefuse
    """The same for near duplicates and for pictures of one group, where the data gives the splits."""
    under_several_labels: KeepOrRefuse
    """Equal pictures of which different things are said: all of them are refused."""
    repeated: KeepOrRefuse
    """An equal picture stands before it."""

    max_refused: float = Field(ge=0, le=1)
    """Share of pictures; if more are refused, the stage ends."""
    max_pixels: int = Field(ge=1, le=178_956_970)
    """Of one picture; the bound is Pillow's own."""
    min_box: float = Field(ge=0)
    """In pixels as packed."""

    def action(self, kind: Kind) -> Action:
        """What is done about this kind."""
        action: Action = getattr(self, kind)
        return action

    @property
    def upright(self) -> bool:
        """Whether pictures are turned as their EXIF says."""
        return self.rotated != "keep"

    def kinds(self, *actions: Action) -> frozenset[str]:
        """All kinds about which one of these is done."""
        return frozenset(kind for kind, action in self.model_dump().items() if action in actions)


class Findings:
    """What was found so far, and what is done about it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.all: list[Finding] = []

    def add(self, kind: Kind, where: str, what: str) -> Action:
        """Note a finding; what is done about it.

        Raises:
            DataError: the policy stops at it.

        """
        self.all.append(Finding(kind=kind, where=where, what=what))
        action = self.policy.action(kind)
        if action == "stop":
            raise DataError(f"{where}: {kind}: {what}: mend it, or let preprocess.policy.{kind} go on")
        return action

    def counts(self) -> dict[str, dict[str, int | str]]:
        """How many of each kind, and what was done; kinds of which there are none are left out."""
        numbers = Counter(finding.kind for finding in self.all)
        return {
            kind: {"count": numbers[kind], "action": self.policy.action(kind)} for kind in sorted(numbers)
        }


def refuse_too_many(refused: int, rows: int, task: str, findings: Findings) -> None:
    """Stop where more pictures were refused than `max_refused` allows.

    Raises:
        DataError: names the commonest reason and one picture.

    """
    if refused <= findings.policy.max_refused * rows:
        return
    reasons = [f for f in findings.all if findings.policy.action(f.kind) == "refuse"]
    kind, count = Counter(finding.kind for finding in reasons).most_common(1)[0]
    first = next(finding for finding in reasons if finding.kind == kind)
    raise DataError(
        f"{task}: {refused} of {rows} pictures refused, preprocess.policy.max_refused is "
        f"{findings.policy.max_refused:g}; {count} times {kind}, first {first.where}: {first.what}"
    )
