"""What was found wrong with data, and what section `preprocess.policy` has done about it."""

import math
from collections import Counter
from typing import Literal

from stages.core.errors import DataError
from stages.sources.params import Action, Policy
from stages.sources.rows import Finding, FindingKind


class Findings:
    """What was found so far, and what is done about it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.all: list[Finding] = []

    def add(self, kind: FindingKind, where: str, what: str) -> Action:
        """Note a finding and return what is done about it.

        Raises:
            DataError: The policy stops at it.

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


def commonest_reason(findings: Findings) -> str:
    """The commonest reason why something was refused, or else left out, to be put behind a message."""
    reasons = [one for one in findings.all if findings.policy.action(one.kind) == "refuse"] or findings.all
    if not reasons:
        return ""
    kind, count = Counter(finding.kind for finding in reasons).most_common(1)[0]
    first = next(finding for finding in reasons if finding.kind == kind)
    return f"; {count} times {kind}, first {first.where}: {first.what}"


def refuse_too_many(
    refused: int, rows: int, task: str, findings: Findings, what: Literal["pictures", "boxes"] = "pictures"
) -> None:
    """Stop where more pictures, or boxes, were refused than `max_refused` allows; one alone always may be.

    Raises:
        DataError: Names the commonest reason and one picture.

    """
    share = findings.policy.max_refused
    if refused <= max(1, share * rows):
        return
    enough = min(1.0, math.ceil(100 * refused / rows) / 100)
    raise DataError(
        f"{task}: {refused} of {rows} {what} refused, preprocess.policy.max_refused is {share:g}"
        f"{commonest_reason(findings)}: mend them, or raise max_refused to {enough:g}"
    )
