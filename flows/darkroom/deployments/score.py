"""The flow `score`: shows the new pictures of an inbox to the released models."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from darkroom.base.errors import UsageError
from darkroom.base.interpreter import installed_stages
from darkroom.base.roots import root_of
from darkroom.base.text import format_count, format_reasons
from darkroom.clones.clone import Clone, held_clone
from darkroom.deployments.steps import Steps
from darkroom.releases import gate, releases
from darkroom.releases.releases import Release
from darkroom.repository.products import artifacts_of
from darkroom.runs.ended import PICTURES_A_FOLDER
from darkroom.show.markdown import inline_text, markdown_picture, markdown_table
from darkroom.show.pages import data_uri, slug
from darkroom.tracking.journal import Journal, journal

CLONE = "score"
PROGRAM = "stages.score"
ON_THE_CPU = {"CUDA_VISIBLE_DEVICES": ""}  # trainings lease the GPUs; few pictures do not need one


@flow(name="score", flow_run_name="score {inbox}")
def score(
    inbox: Annotated[str, Field(min_length=1)],
    out: Annotated[str, Field(min_length=1)],
    release: str = "",
    stage: str = "",
    classifier: str = "classifier",
    detector: str = "detector",
    reference: str = "reference",
    quiet_minutes: Annotated[float, Field(ge=0)] = 1.0,
    pull: bool = False,
) -> str:
    """Bring the pictures of a folder that are new through the released models.

    Each gets one row, in `out`/predictions, whatever is killed meanwhile; it is drawn with what was found in
    it. One that cannot be read is set aside, with the reason. The inbox itself is only read.

    Args:
        inbox: Folder that others put pictures into; from the project's root, or absolute.
        out: Folder of the predictions, beside the inbox and not in it.
        release: Name whose tags say which commit is released; empty: that of the gate in params.yaml.
        stage: GTO's word for where models are used; empty: that of the gate, else prod.
        classifier: Name of the classifier under `artifacts` in dvc.yaml; empty: pictures get no label.
        detector: Name of the detector under `artifacts` in dvc.yaml; empty: pictures get no boxes.
        reference: Name under `artifacts` of what new pictures are compared with; without it nobody looks
            whether they have become others.
        quiet_minutes: How long a file must have been as it is: before, it may still be written.
        pull: Fetch models that are missing from the DVC remote.

    """
    root = root_of(Path())
    asked = gate.read_gate(root)
    name = release or (asked.release if asked else "")
    if not name:
        raise UsageError("release: params.yaml has no gate that names it; say whose releases to use")
    word = stage or (asked.stage if asked else gate.RELEASED)
    with journal() as run_journal:
        current = releases.released_version(root, name, word)
        if current is None:
            said = f"nothing is released as {name} for {word} yet; the pictures wait"
        else:
            wanted = {"classifier": classifier, "detector": detector}
            options = (
                f"--inbox={root / inbox}",
                f"--out={root / out}",
                f"--release={name}@{current.version}",
                f"--quiet-seconds={60 * quiet_minutes}",
            )
            figures = _scored(run_journal, root, current, wanted, reference, options, pull=pull)
            said = _tell(run_journal, root, figures)
        run_journal.say(said)
    return said


def _scored(
    run_journal: Journal,
    root: Path,
    current: Release,
    wanted: Mapping[str, str],
    reference: str,
    options: Sequence[str],
    *,
    pull: bool,
) -> dict[str, Any]:
    """Score what is new by the release's own code; the figures that it leaves."""
    with held_clone(root, CLONE, source="", revision=current.commit) as clone:
        files = _models(clone, current, wanted)
        if files.get("classifier") and (known := artifacts_of(clone.root).get(reference)):
            files["reference"] = known.path
        steps = Steps(clone, run_journal.say)
        steps.dvc("pull" if pull else "checkout", "--", *files.values())
        figures = clone.folder.parent.with_suffix(".json")
        steps.module(
            PROGRAM,
            *(f"--{kind}={path}" for kind, path in files.items()),
            *options,
            "--params=params.yaml",
            f"--figures={figures}",
            env=ON_THE_CPU,
            folder=_folder_of_stages(clone),
        )
        found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))  # before the next run's
    return found


def _folder_of_stages(clone: Clone) -> Path:
    """The folder in which the program is found: darkroom's own release has it, else darkroom's installation.

    Raises:
        UsageError: No stages came with the installation.

    """
    if _is_darkroom(clone.root):
        return clone.root
    if (stages := installed_stages()) is None:
        raise UsageError(f"{PROGRAM}: no stages came with darkroom's installation; install darkroom[vision]")
    return stages.parent


def _is_darkroom(folder: Path) -> bool:
    """Whether it is darkroom itself, whose released code scores; other projects' `stages` are theirs."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return False
    return isinstance(project, dict) and project.get("name") == "darkroom"


def _models(clone: Clone, current: Release, names: Mapping[str, str]) -> dict[str, str]:
    """Paths of the released models, from the repository's root, by kind.

    Raises:
        UsageError: The release has no such model, or is older than the code that scores.

    """
    program = clone.root.joinpath(*PROGRAM.split("."))
    if _is_darkroom(clone.root) and not (program.is_dir() or program.with_suffix(".py").exists()):
        raise UsageError(f"{current.version}: was released by code without {PROGRAM}; release a newer commit")
    known = artifacts_of(clone.root)
    chosen = {kind: name for kind, name in names.items() if name}
    if not chosen:
        raise UsageError("classifier, detector: name at least one of them")
    for kind, name in chosen.items():
        if name not in known:
            there = ", ".join(known) or "none"
            raise UsageError(
                f"{kind}: {name} is no artifact in dvc.yaml of {current.version} ({current.commit[:12]});"
                f" there: {there}"
            )
    return {kind: known[name].path for kind, name in chosen.items()}


def _tell(run_journal: Journal, root: Path, figures: dict[str, Any]) -> str:
    """Say in words what was done; where it was something, publish a page too."""
    done, aside = figures["scored"], figures["set_aside"]
    waiting = f"; {format_count(figures['waiting'], 'file')} not quiet yet" if figures["waiting"] else ""
    if links := figures.get("links"):  # a release's own code may be older
        waiting += f"; links and special files are left alone: {format_reasons(links)}"
    if not done + aside:
        return f"nothing is new{waiting}"
    said = f"{format_count(done, 'picture')} scored by {figures['release']}, {aside} set aside{waiting}"
    if (drift := figures.get("drift")) and drift["left"]:
        said += f"; the last {drift['pictures']} pictures are unlike the training pictures"
    text = "\n\n".join(score_page(said, figures))
    run_journal.publish(slug(f"{root.name}-score"), "markdown", text, inline_text(said))
    return said


def score_page(said: str, figures: dict[str, Any]) -> Iterator[str]:
    """What was found, why pictures were set aside, and some of the drawn ones."""
    yield f"# {inline_text(said)}"
    yield f"{format_count(figures['all'], 'input')} have their rows in all."
    if drift := figures.get("drift"):  # a release's own code may be older
        yield "## Drift"
        yield (
            "Frechet distance of the classifier's features from those of the training pictures, beside that"
            " of samples of val of the same size:"
        )
        yield markdown_table(
            ("Pictures that came last", "Distance", "Half of val's samples", "All of val's samples"),
            [(str(drift["pictures"]), *(f"{drift[key]:.3g}" for key in ("distance", "usual", "furthest")))],
        )
    for heading, counts in (("Label", figures["labels"]), ("Boxes", figures["boxes"])):
        if counts:
            yield markdown_table((heading, "Count"), [(name, str(count)) for name, count in counts.items()])
    if figures["reasons"]:
        yield "## Set aside"
        yield markdown_table(("Picture", "Why"), [(one["name"], one["why"]) for one in figures["reasons"]])
    if (more := figures["set_aside"] - len(figures["reasons"])) > 0:
        yield f"And {more} more; all stand in the predictions, column `set_aside`."
    for path in map(Path, figures["drawn"][:PICTURES_A_FOLDER]):
        if path.exists() and (uri := data_uri(path)):
            yield markdown_picture(path.name, uri)
