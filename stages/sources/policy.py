"""What is done about each thing that can be wrong with data: section `preprocess.policy`."""

import math
from collections import Counter
from typing import Literal

from pydantic import Field

from stages.core.errors import DataError
from stages.core.params import StageParams
from stages.sources.rows import Finding, FindingKind

Action = Literal["keep", "mend", "refuse", "stop"]
RefuseOrStop = Literal["refuse", "stop"]
MendOrRefuse = Literal["mend", "refuse", "stop"]
KeepOrRefuse = Literal["keep", "refuse", "stop"]


class Policy(StageParams):
    """keep: only counted; mend: made good; refuse: left out; stop: the stage ends with one line.

    Whatever is found is counted and named in the report.
    """

    unreadable: RefuseOrStop = "refuse"
    """The file is no picture, or one of a format that is not read here."""
    truncated: RefuseOrStop = "refuse"
    """The file ends early."""
    damaged: KeepOrRefuse = "refuse"
    """A JPEG is damaged inside, as far as its decoder notices; keep: decoded as well as it can be."""
    bomb: RefuseOrStop = "refuse"
    """The picture has more than `max_pixels`."""
    missing_picture: RefuseOrStop = "refuse"
    """What the data names is no file: missing, a pipe, a device, or one that may not be read."""
    path_traversal: RefuseOrStop = "stop"
    """The name of a picture leads out of its folder."""
    unfollowed_link: RefuseOrStop = "refuse"
    """A link to a folder, or one that leads out of the folder of raw data: neither is followed."""
    bad_row: RefuseOrStop = "refuse"
    """A line or a file of annotations cannot be understood."""
    unknown_class: RefuseOrStop = "refuse"
    """The class is not in `classes`; where it is that of a box, the box alone is refused."""
    size_differs: KeepOrRefuse = "refuse"
    """The annotation states another size than the picture has."""
    animated: MendOrRefuse = "refuse"
    """The file holds several pictures; mend: the first is taken."""
    cmyk: MendOrRefuse = "mend"
    """The picture is in CMYK; mend: converted to RGB."""
    sixteen_bit: MendOrRefuse = "mend"
    """The picture has 16 bits a channel; mend: their range is scaled to 8."""
    alpha: MendOrRefuse = "mend"
    """The picture is transparent in places; mend: laid on `ground`."""
    rotated: Literal["keep", "mend", "refuse", "stop"] = "mend"
    """EXIF says that the picture is turned; mend: turned upright; keep: as stored, and its boxes likewise."""
    unlabelled_picture: Literal["keep", "stop"] = "keep"
    """No annotation names the picture; it is never packed."""
    stray_file: Literal["keep", "stop"] = "keep"
    """The name of the file is not that of a picture."""
    invalid_box: RefuseOrStop = "refuse"
    """The box is not four numbers, has no area, or lies outside of its picture; it alone is refused."""
    box_out_of_frame: MendOrRefuse = "mend"
    """The box reaches beyond its picture; mend: cut to the picture."""
    tiny_box: KeepOrRefuse = "refuse"
    """The box has a side of less than `min_box` as packed; it alone is refused."""
    repeated_box: KeepOrRefuse = "refuse"
    """The same box with the same class stands before it; it alone is refused."""
    no_box_left: RefuseOrStop = "refuse"
    """All boxes of the picture are refused: what they show would be taught as background."""
    name_differs: Literal["keep", "stop"] = "keep"
    """The annotation names another picture than the one of its own name, which is taken."""
    crowd_box: KeepOrRefuse = "refuse"
    """The box is round many things at once, COCO's `iscrowd`; keep: as one thing; it alone is refused."""
    difficult_box: KeepOrRefuse = "keep"
    """People can hardly recognise the thing, VOC's `difficult`; keep: as any other; the box is refused."""
    in_another_split: KeepOrRefuse = "refuse"
    """An equal picture is in the test or val split, and stays there."""
    companion_in_another_split: KeepOrRefuse = "refuse"
    """A near duplicate, or a picture of the same group, is in the test or val split that the data gives."""
    under_several_labels: KeepOrRefuse = "refuse"
    """Equal pictures have different labels or boxes; refuse: all of them."""
    repeated: KeepOrRefuse = "refuse"
    """An equal picture comes before this one."""

    max_refused: float = Field(ge=0, le=1, default=0.01)
    """Share of all pictures that may be refused; the stage ends if more are, and more than one."""
    max_pixels: int = Field(ge=1, le=178_956_970, default=100_000_000)
    """Pixels that a picture may have; the bound is Pillow's own."""
    min_box: float = Field(ge=0, default=1.0)
    """Least side of a box in pixels as packed."""

    def action(self, kind: FindingKind) -> Action:
        """What is done about findings of this kind."""
        action: Action = getattr(self, kind)
        return action

    @property
    def upright(self) -> bool:
        """Whether pictures are turned as their EXIF says."""
        return self.rotated != "keep"

    def kinds(self, *actions: Action) -> frozenset[str]:
        """The kinds of findings for which the policy takes one of these actions."""
        return frozenset(kind for kind, action in self.model_dump().items() if action in actions)


class Findings:
    """What was found so far, and what is done about it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.all: list[Finding] = []

    def add(self, kind: FindingKind, where: str, what: str) -> Action:
        """Note a finding and return what is done about it.

        Raises:
            DataError: the policy stops at it.

        """
        finding = Finding(kind=kind, where=where, what=what)
        self.all.append(finding)
        action = self.policy.action(kind)
        if action == "stop":
            raise DataError(
                f"{finding.where}: {kind}: {finding.what}: mend it, or let preprocess.policy.{kind} go on"
            )
        return action

    def counts(self) -> dict[str, dict[str, int | str]]:
        """The `count` and the `action` of each kind of which there are findings."""
        numbers = Counter(finding.kind for finding in self.all)
        return {
            kind: {"count": numbers[kind], "action": self.policy.action(kind)} for kind in sorted(numbers)
        }


def refuse_too_many(
    refused: int, rows: int, task: str, findings: Findings, what: Literal["pictures", "boxes"] = "pictures"
) -> None:
    """Stop where more pictures, or boxes, were refused than `max_refused` allows; one alone always may be.

    Raises:
        DataError: names the commonest reason and one picture.

    """
    share = findings.policy.max_refused
    if refused <= max(1, share * rows):
        return
    reasons = [f for f in findings.all if findings.policy.action(f.kind) == "refuse"]
    kind, count = Counter(finding.kind for finding in reasons).most_common(1)[0]
    first = next(finding for finding in reasons if finding.kind == kind)
    enough = min(1.0, math.ceil(100 * refused / rows) / 100)
    raise DataError(
        f"{task}: {refused} of {rows} {what} refused, preprocess.policy.max_refused is {share:g}; {count} "
        f"times {kind}, first {first.where}: {first.what}: mend them, or raise max_refused to {enough:g}"
    )
