"""A run that has ended: its report, its metrics beside the last commit's, and its pictures."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.base.errors import RepoError
from darkroom.base.files import logs_folder
from darkroom.base.git import git
from darkroom.repository import products as results
from darkroom.repository.commits import opened_commit
from darkroom.repository.products import Product, ShownResults
from darkroom.runs.metrics import MetricChange, main_metrics, metric_changes
from darkroom.runs.report import RunReport, collector_paused
from darkroom.schedule.events import Outcome

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
PICTURES_A_FOLDER = 6


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a stage made."""

    stage: str
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedRun:
    """A run that has ended."""

    root: Path
    """The repository's root."""
    report: RunReport
    metrics: tuple[MetricChange, ...]
    pictures: tuple[Picture, ...]
    before: Mapping[Path, bytes] = field(default_factory=dict)
    """The content that pictures had in the last commit, for those that are other ones now."""
    other_outs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The outs of each stage that differ from the last commit's although its inputs are the same."""
    other_data: tuple[str, ...] = ()
    """The .dvc files that differ from the last commit's: figures of then are those of other data."""
    unread: str = ""
    """Why there are neither metrics nor pictures, where DVC cannot read the repository any more."""

    @property
    def project(self) -> str:
        """What the pages call the repository."""
        return self.root.name

    @property
    def logs(self) -> Path:
        """The folder of the run's log files, one a stage."""
        return logs_folder(self.root, self.report.run)


def record_run(root: Path, report: RunReport) -> EndedRun:
    """Gather what the repository shows after a run; only the stages of the run's plan count."""
    shown, unread = ShownResults({}, {}, {}), ""
    try:
        with collector_paused():
            shown = results.shown_results(root, made_by(report))
    except RepoError as error:  # a stage has left dvc.yaml broken: what was run is recorded all the same
        unread = str(error)
    products = {stage.name: shown.products.get(stage.name, ()) for stage in report.plan.stages}
    found = tuple(pictures_among(products))
    other_data = changed_data(root)
    changes = metric_changes(products, shown.metrics, shown.before, root, same_data=not other_data)
    return EndedRun(
        root=root,
        report=report,
        metrics=tuple(changes),
        pictures=found,
        before=pictures_before(
            root, [picture.path for picture in shown_first(found) if is_new(picture, report)]
        ),
        other_data=other_data,
        unread=unread,
        other_outs=shown.other_outs,
    )


def changed_data(root: Path) -> tuple[str, ...]:
    """The .dvc files, from the root, that differ from the last commit's; none where git cannot tell."""
    return tuple(git(root, "diff", "--name-only", "--relative", "HEAD", "--", "*.dvc", fails="").splitlines())


def pictures_among(products: Mapping[str, tuple[Product, ...]]) -> Iterator[Picture]:
    """The pictures among the stages' outs, those in folders too."""
    for stage, outs in products.items():
        for out in outs:
            found = sorted(out.path.rglob("*")) if out.path.is_dir() else [out.path]
            yield from (Picture(stage, path) for path in found if is_picture(path))


def is_picture(path: Path) -> bool:
    """Whether `path` is a file that a page can show."""
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def shown_first(found: Iterable[Picture]) -> Iterator[Picture]:
    """Choose at most PICTURES_A_FOLDER of each stage's folder: some stages make thousands."""
    seen: Counter[tuple[str, Path]] = Counter()
    for picture in found:
        place = (picture.stage, picture.path.parent)
        seen[place] += 1
        if seen[place] <= PICTURES_A_FOLDER:
            yield picture


def made_by(report: RunReport) -> frozenset[str]:
    """The stages whose outs are new: the run made or restored them."""
    made = (Outcome.RAN, Outcome.RESTORED)
    return frozenset(name for name, stage in report.stages.items() if stage.outcome in made)


def is_new(picture: Picture, report: RunReport) -> bool:
    """Whether the run has made the picture."""
    return report.stages[picture.stage].outcome in (Outcome.RAN, Outcome.RESTORED)


def pictures_before(root: Path, paths: Sequence[Path]) -> dict[Path, bytes]:
    """The content of these files in the last commit, where git or DVC's cache has it and it was another."""
    if not paths:
        return {}
    with contextlib.suppress(RepoError), opened_commit(root, "HEAD") as head:
        then = {path: head.read_here(os.path.relpath(path, root)) for path in paths}
        return {
            path: content
            for path, content in then.items()
            if content is not None and content != path.read_bytes()
        }
    return {}


def metrics_of_interest(record: EndedRun) -> Iterator[MetricChange]:
    """The main metrics of the stages that the run made or restored.

    Those of other stages are older, and a stage that was stopped or failed has lost its own.
    """
    made = made_by(record.report)
    return main_metrics(change for change in record.metrics if change.stage in made)
