"""A project for a user's pictures: dvc.yaml, params.yaml, the code of the stages, git and DVC.

It is made in a temporary folder beside its final place, and moved there when it is complete. So an
interrupted or failed `darkroom init` leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from darkroom.base import interpreter
from darkroom.base.errors import UsageError
from darkroom.base.escapes import escape
from darkroom.base.git import environment_without_repository, git
from darkroom.base.yaml_files import read_yaml
from darkroom.projects import pipeline_text
from darkroom.repository.errors import printed_error

MODELS = {"train-classifier": "classifier", "train-detector": "detector", "train-gan": "generator"}
"""The model that each training makes."""

PLOTS: Mapping[str, tuple[str, ...]] = {
    "train-classifier": (
        "data/predictions/classifier.csv",
        *(
            f"data/plots/evaluate/{name}.png"
            for name in ("confusion", "grad-cam", "label-errors", "predictions", "worst-losses")
        ),
    ),
    "train-detector": (
        "data/plots/evaluate/boxes.png",
        "data/plots/evaluate/detections.png",
        "data/plots/fuse/composites.png",
        "data/plots/fuse/scenes.png",
    ),
    "train-gan": (
        "data/plots/evaluate/generated",
        "data/plots/fuse/composites.png",
        "data/plots/fuse/generated.png",
    ),
}
"""What `dvc plots show` cannot draw without the model of a training; the names begin so."""

TASKS: Mapping[str, tuple[str, ...]] = {
    "classify": ("train-classifier", "evaluate"),
    "detect": ("train-detector", "evaluate"),
    "generate": ("train-classifier", "train-gan", "evaluate"),  # the classifier judges what is drawn
    "fuse": ("train-classifier", "fuse"),
    "all": ("train-classifier", "train-detector", "train-gan", "evaluate", "fuse"),
}
"""The stages of each task, beside preprocess."""

FUSE_ALONE = (
    "; groups of pictures are fused without a project: darkroom fuse FOLDER --pattern '(.+)_[ab].png'"
    " --method laplacian --out fused"
)
COPIED = ("stages", "dvc.yaml", ".dvcignore")
RAW = "data/raw/pictures"

IGNORED = (
    "__pycache__/\n*.partial\n/.venv/\n/.darkroom/\n/data/cache/\n/data/checkpoints/\n"
    "/report.html\n/drawn/\n/explained/\n/generated/\n*.onnx\n"
)
"""What commands of the project's README leave behind beside DVC's files."""

README = """\
# {name}
A darkroom project: {task}, with the pictures in {raw}.

```
darkroom plan       # what would run, and why
darkroom run        # runs it: results in data/, figures in data/metrics
darkroom metrics    # how good the models are
darkroom report     # one page with figures and pictures: report.html
{asking}darkroom params     # all parameters; params.yaml holds what this project changes
```

After a run, commit the results: `git add --all && git commit --message "First results"`.

{findings}
stages/ is this project's own code. Change what you like: `darkroom plan` says what has to run again.
"""

FINDINGS = {
    "preprocess": "data/reports/preprocess/report.md: the pictures, and what was mended or refused",
    "evaluate": "data/reports/evaluate.html: how good each model is, with pictures of its errors",
    "fuse": "data/plots/fuse: what each method makes; data/raw/to_fuse/groups.csv names groups of your own",
}
"""The folder to look at after a stage, by its name."""

ASKING = {
    "train-classifier": "darkroom classify PICTURE",
    "train-detector": "darkroom detect PICTURE --draw drawn",
    "train-gan": "darkroom generate CLASS --out generated",
}
"""What uses the model of a training."""

PARAMS = """\
# What this project changes; every key that is left out has its default: `darkroom params` lists them all.
compute:
  seed: 1

raw: {raw} # the folder that preprocess reads
to_fuse: data/raw/to_fuse # the folder of pictures of your own that fuse reads

preprocess:
  classification: null
  detection: null

train-classifier:
  network: {{model: compact}} # or resnet, simple-cnn, timm
  epochs: auto # the fewer pictures, the more often each is shown; write 20 for a quick first look

train-detector:
  network:
    model: faster-rcnn # or fast-rcnn, r-cnn, ssd
    anchor_sizes: auto
  epochs: auto # the fewer pictures, the more often each is shown; write 20 for a quick first look

train-gan:
  epochs: auto # as many steps of few pictures as of many; write 20 for a quick first look
  failure: {{recall_min: 0.02}} # worse ones are refused, and evaluate and fuse wait; 0: any is taken

evaluate:
  label_errors: true # which labels the model doubts: data/predictions/label-errors.csv

fuse:
  methods: [average, maximum, laplacian, wavelet, exposure, guided, features]
  own: {{manifest: groups.csv}} # groups of pictures of one scene: its columns are group, picture and truth

# Versions that a result depends on, as they were installed when the project was made.
libraries:
{libraries}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a user wants."""

    pictures: Path
    """A folder of pictures, which is copied."""
    task: str
    """One of TASKS."""


def make_project(folder: Path, wish: Wish, say: Callable[[str], None]) -> list[str]:
    """Make a project in a folder that is empty or not there yet, and return the names of its stages.

    `say` is told each step.

    Raises:
        UsageError: The folder holds something, or the pictures cannot be read for this task.

    """
    folder, pictures = Path(os.path.realpath(folder)), Path(os.path.realpath(wish.pictures))
    _require_room(folder, wish, pictures)
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=folder))
    moved: list[Path] = []
    try:
        stages = _fill(partial, folder.name, Wish(pictures=pictures, task=wish.task), say)
        for path in sorted(partial.iterdir(), key=lambda one: one.name == ".git"):  # it comes last
            moved.append(path.rename(folder / path.name))
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
    return stages


def _require_room(folder: Path, wish: Wish, pictures: Path) -> None:
    if not pictures.is_dir():
        raise UsageError(f"{wish.pictures}: no such folder of pictures")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder that is empty or not there yet")
    if pictures == folder or pictures in folder.parents:
        raise UsageError(f"{folder}: lies in the folder of pictures; name a folder outside of it")
    if names := sorted(path.name for path in (folder.iterdir() if folder.is_dir() else ())):
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise UsageError(
            f"{folder}: is neither empty nor a DVC repository ({shown}); "
            "name a folder that is empty or not there yet"
        )


def _fill(project: Path, name: str, wish: Wish, say: Callable[[str], None]) -> list[str]:
    template = template_folder()
    for each in COPIED:
        if (template / each).is_dir():
            shutil.copytree(template / each, project / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(template / each, project / each)
    say(f"copying the pictures to {RAW}")
    if left_out := copy_pictures(wish.pictures, project / RAW):
        first = f"{left_out[0]}, ..." if len(left_out) > 1 else left_out[0]
        say(f"left out {len(left_out)} that are no files, or are links to folders: {first}")
    if "fuse" in TASKS[wish.task]:
        (project / "data/raw/to_fuse").mkdir()
        (project / "data/raw/to_fuse/groups.csv").write_text("group,picture,truth\n")
    (project / ".gitignore").write_text(IGNORED)
    say("looking at the pictures")
    try:
        write_params(project, read_yaml(template / "params.yaml")["libraries"], say)
    except UsageError as error:
        hint = FUSE_ALONE if wish.task == "fuse" else ""
        raise UsageError(str(error).replace(RAW, str(wish.pictures)) + hint) from None
    stages = fit_to_task(project, wish)
    crops = "format: crops" in (project / "params.yaml").read_text()
    (project / "README.md").write_text(readme_of(name, wish.task, stages, crops=crops))
    _python(project, "stages.core.libraries", "--params", "params.yaml")
    say("setting up git and DVC")
    git(project, "init", "--quiet")
    _python(project, "dvc", "init", "--quiet")
    _python(project, "dvc", "add", "--quiet", RAW)
    git(project, "add", "--all")
    git(project, *_author(project), "commit", "--quiet", "--message", f"A darkroom project: {wish.task}")
    return stages


def readme_of(name: str, task: str, stages: Sequence[str], *, crops: bool) -> str:
    """The project's README: its commands, and where the results of these stages lie.

    A classifier of `crops` knows what is in boxes, so it is not asked about whole pictures.
    """
    asked = {*stages} - ({"train-classifier"} if crops else set())
    asking = "".join(f"{command}\n" for stage, command in ASKING.items() if stage in asked)
    findings = "".join(f"- {line}\n" for stage, line in FINDINGS.items() if stage in stages)
    return README.format(name=name, task=task, raw=RAW, asking=asking, findings=findings)


def copy_pictures(pictures: Path, target: Path) -> list[str]:
    """Copy a folder with the files that its links name; the paths that are left out.

    A pipe would be waited for, and a link to a folder may lead back to where it is.
    """
    left_out: list[str] = []

    def others(place: str, names: list[str]) -> list[str]:
        found = [Path(place, name) for name in sorted(names)]
        bad = [one for one in found if not one.is_file() and (one.is_symlink() or not one.is_dir())]
        left_out.extend(escape(os.path.relpath(one, pictures)) for one in bad)
        return [one.name for one in bad]

    shutil.copytree(pictures, target, ignore=others)
    return left_out


def template_folder() -> Path:
    """The folder of the vision half that came with this package.

    Raises:
        UsageError: None came.

    """
    stages = interpreter.installed_stages()
    if stages is None:
        raise UsageError("the vision half did not come with this installation of darkroom; install its wheel")
    return stages.parent


def write_params(project: Path, libraries: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Write params.yaml with the sections of all stages and what `darkroom data` makes of the pictures."""
    versions = "".join(f'  {name}: "{number}"\n' for name, number in libraries.items())
    (project / "params.yaml").write_text(PARAMS.format(raw=RAW, libraries=versions))
    found = _python(project, "stages.by_hand.data", RAW, "--write")
    for line in found.partition("\n\nFor params.yaml")[0].splitlines():
        say(f"  {line}")


def fit_to_task(project: Path, wish: Wish) -> list[str]:
    """Leave in dvc.yaml and params.yaml what the task needs, and return the names of its stages.

    Raises:
        UsageError: The pictures are not such that the task can use them.

    """
    params_file, pipeline_file = project / "params.yaml", project / "dvc.yaml"
    text = params_file.read_text()
    boxes = yaml.safe_load(text)["preprocess"]["detection"]
    if boxes is None and wish.task == "detect":
        raise UsageError(
            f"{wish.pictures}: no boxes are given, which `detect` learns from: "
            "add annotations (COCO, YOLO, Pascal VOC, ...), or take `--task classify`"
        )
    wanted = {"preprocess", *TASKS[wish.task]}
    if boxes is None:
        wanted -= {"train-detector"}
    elif wish.task != "detect":
        text = text.replace("\n  classification: null\n", f"\n  classification: {_crops_of(boxes)}\n", 1)
    pipeline = pipeline_file.read_text()
    stages = [name for name in pipeline_text.names_of(pipeline, "stages") if name in wanted]
    pipeline_file.write_text(pipeline_of(pipeline, stages))
    unread = {*pipeline_text.names_of(pipeline, "stages")} - wanted
    params_file.write_text(_without_sections(text, unread | (set() if "fuse" in wanted else {"to_fuse"})))
    return stages


def _crops_of(boxes: Mapping[str, Any]) -> str:
    """What classifies each box's own part of a picture."""
    form = {"format": "crops", "margin": 0.1, "shape": [64, 64], "channels": boxes["channels"], "fit": "pad"}
    text = yaml.safe_dump([form], default_flow_style=True, width=10**6, sort_keys=False)
    return text.strip()[1:-1]


def pipeline_of(text: str, stages: Sequence[str]) -> str:
    """dvc.yaml with these stages of all, and without what the others would make."""
    left_out = [name for name in pipeline_text.names_of(text, "stages") if name not in stages]
    text = pipeline_text.without_entries(text, "stages", left_out)
    models = [MODELS[name] for name in left_out if name in MODELS]
    without_reference = (
        "classifier" in models or "evaluate" not in stages
    )  # its features are the classifier's
    artifacts = [*models, *(["reference"] if without_reference else [])]
    text = pipeline_text.without_entries(text, "artifacts", artifacts)
    paths = [f"data/models/{model}.safetensors" for model in models]
    paths += [f"data/samples/{name}.safetensors" for name in left_out]
    if "evaluate" not in stages:
        paths += ["data/predictions", "data/plots/evaluate"]
    if "fuse" not in stages:
        paths.append("data/plots/fuse")
    text = pipeline_text.without_lines(text, paths)
    text = pipeline_text.without_plots(text, [path for name in left_out for path in PLOTS.get(name, ())])
    if models:
        options = [option for model in models for option in (model, f"{model}-samples")]
        text = pipeline_text.without_options(text, options)
    for model in models:
        text = pipeline_text.without_figures(text, model)
    return text


def _without_sections(text: str, names: set[str]) -> str:
    """params.yaml without these sections, which empty lines part, or lines."""
    blocks = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line.partition(":")[0] not in names]
        if lines and block.partition(":")[0] not in names:
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _python(project: Path, module: str, *words: str) -> str:
    """What a module prints that is executed in the project.

    Raises:
        UsageError: It failed; the message has its own words.

    """
    packages = {} if module == "dvc" else {"stages": project / "stages"}
    done = subprocess.run(
        interpreter.python_command(module, *words, packages=packages),
        cwd=project,
        env=environment_without_repository(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(printed_error(done.stderr or done.stdout).removeprefix("error: "))
    return done.stdout


def _author(project: Path) -> list[str]:
    """Options for the first commit where git does not know who the user is."""
    if git(project, "config", "user.email", fails=""):
        return []
    return ["-c", "user.name=darkroom", "-c", "user.email=darkroom@localhost"]
