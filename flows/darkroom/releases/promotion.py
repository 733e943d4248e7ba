"""New results are compared with the released model, and released if they are better."""

from __future__ import annotations

from darkroom.base.errors import DarkroomError
from darkroom.base.git import git
from darkroom.base.text import format_figure
from darkroom.clones.clone import Clone
from darkroom.releases import gate, paired, releases
from darkroom.releases.gate import Gate, GateJudgement, Judged
from darkroom.releases.paired import Difference, NotPairedError, Pictures
from darkroom.releases.releases import Release
from darkroom.repository.products import metric_metas, metrics_at
from darkroom.show.markdown import code_span, inline_text, markdown_table
from darkroom.show.pages import slug
from darkroom.tracking.journal import Publish


class GateFailedError(DarkroomError):
    """The new model is worse than the released one, which stays."""


def promote_if_better(clone: Clone, commit: str, publish: Publish) -> str:
    """Release a commit of results if the project's gate lets it; in words, what was done.

    Its page is published, its tags are made in the clone's source.

    Raises:
        GateFailedError: A metric is worse than the gate allows; the message says by how much.

    """
    asked = gate.read_gate(clone.root)
    if asked is None:
        return "there is no gate in params.yaml: nothing is released"
    pattern = f"refs/tags/{asked.release}*"
    words = ("--quiet", "--force", "--prune", "--update-shallow", "--", clone.source, f"{pattern}:{pattern}")
    git(clone.folder, "fetch", *words)
    current = releases.released_version(clone.folder, asked.release, asked.stage)
    judgement = _judged(clone, commit, asked, current)
    said = _outcome(judgement, asked, current)
    publish(
        slug(f"{clone.root.name}-gate"),
        "markdown",
        _page(judgement, said, commit),
        inline_text(f"{commit[:12]} against {current.version if current else 'nothing'}"),
    )
    if judgement.failed:
        raise GateFailedError(said)
    if judgement.promotes:
        message = f"Release {asked.release}: {said}"
        made, tags = releases.make_release(clone.folder, asked.release, asked.stage, commit, message)
        refs = [f"refs/tags/{tag}" for tag in tags]
        git(clone.folder, "push", "--quiet", "--atomic", "--", clone.source, *refs)
        said = f"{asked.release} {made.version} is released: {said}"
    return said


def _judged(clone: Clone, commit: str, asked: Gate, current: Release | None) -> GateJudgement:
    stated = metric_metas(clone.root)
    if current is None:
        return gate.judge_metrics(asked, metrics_at(clone.root, [commit])[commit], None, stated=stated)
    metrics = metrics_at(clone.root, [commit, current.commit])
    now, then = metrics[commit], metrics[current.commit]
    found: dict[str, Difference | str] = {}
    for name, pictures in asked.by_pictures():
        figures = gate.metric_value(then, name, stated), gate.metric_value(now, name, stated)
        try:
            found[name] = _difference(clone, asked, pictures, (current.commit, commit), figures)
        except NotPairedError as error:
            found[name] = str(error)
    return gate.judge_metrics(asked, now, then, found, stated)


def _difference(
    clone: Clone,
    asked: Gate,
    pictures: Pictures,
    commits: tuple[str, str],
    metrics: tuple[float | None, float | None],
) -> Difference:
    """Between the released model, first, and the new one.

    Raises:
        NotPairedError: The two cannot be compared picture by picture.

    """
    then, now = (
        paired.measure_model(clone.root, commit, pictures, metric)
        for commit, metric in zip(commits, metrics, strict=True)
    )
    return paired.difference_of(pictures, then, now, confidence=asked.confidence, resamples=asked.resamples)


def _outcome(judgement: GateJudgement, asked: Gate, current: Release | None) -> str:
    if judgement.failed:
        stays = f"{current.version} stays released" if current else "nothing is released"
        return f"gate: {'; '.join(map(_line, judgement.failed))}; {stays}"
    if judgement.promotes:
        return "; ".join(map(_line, judgement.metrics))
    return f"as good as {asked.release} {current.version if current else ''}, which stays"


def _line(one: Judged) -> str:
    return f"{one.metric} {one.verdict} {one.why}".rstrip()


def _page(judgement: GateJudgement, said: str, commit: str) -> str:
    rows = [
        (one.metric, format_figure(one.then), format_figure(one.now), one.verdict.value, one.why)
        for one in judgement.metrics
    ]
    return "\n\n".join(
        (
            f"# {inline_text(said)}",
            f"Commit {code_span(commit)}.",
            markdown_table(("Metric", "Released", "New", "Verdict", "Why"), rows),
        )
    )
