"""A small copy of the whole project, for the tests that run it from end to end."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import Phase, settings

from stages.core.libraries import installed
from tests import leftovers
from tests.places import ROOT

settings.register_profile("unhurried", deadline=None)  # no seconds: other work may share the cores
settings.load_profile("unhurried")
# Of a fault in tests.mutants only counts whether it is noticed: no smaller example is looked for or kept.
settings.register_profile(
    "mutants", deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True, database=None
)

# Read when torch is imported. Threads of OpenMP that wait for each other keep cores busy that other workers
# need: a training by two threads beside others took six times the processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure() -> None:
    """Let SIGINT be tested where a shell has started this in the background, ignoring it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


TOGETHER = {
    "tests/end_to_end/test_pipeline.py",
    "tests/test_package.py",
    "tests/faults/test_checks.py",
    "tests/darkroom/releases/test_promotion.py",
    "tests/darkroom/deployments/test_retrain_on_data.py",
    "tests/darkroom/deployments/test_score.py",
    "tests/darkroom/service/test_attack.py",
    "tests/darkroom/server/test_closed.py",
    "tests/darkroom/service/test_upkeep.py",
    "tests/darkroom/tracking/test_delivery_queue.py",
    "tests/darkroom/tracking/test_to_api.py",
    "tests/darkroom/tracking/test_to_database.py",
    "tests/crashes/test_power_loss.py",
    "tests/darkroom/server/test_own_pages.py",
    "tests/darkroom/service/test_two_servers.py",
    "tests/darkroom/deployments/test_retrain.py",
    "tests/stages/evaluate/of_generator/test_evaluation.py",
    "tests/darkroom/remote/test_hosts.py",
}
"""Files whose tests share what takes long to make: a server, a run of the pipeline."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file of TOGETHER on one worker, these files first; all other tests wherever there is room."""
    # xdist's own groups (by marks) are not heeded with pytest 9.2
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No cache of the user's is read or written; all workers share one."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_server_that_nobody_asked_for() -> Iterator[None]:
    """What runs tell Prefect waits on disk, but in the tests that look at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_SERVER_SECONDS", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_the_tests() -> Iterator[None]:
    """No process that a fixture shared by tests has started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(leftovers.SESSION, f"{os.getpid()}")
        yield
        left = leftovers.await_end(leftovers.threads(), leftovers.SESSION, f"{os.getpid()}")
    assert not left, f"outlived the tests: {'; '.join(left)}"


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test() -> Iterator[None]:
    """No thread and no process, but for those of fixtures that tests share."""
    mark = f"{os.getpid()}-{next(_marks)}"
    before = leftovers.threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(leftovers.TEST, mark)
        yield
    left = leftovers.await_end(before, leftovers.TEST, mark)
    assert not left, f"outlived the test: {'; '.join(left)}"


_marks = itertools.count()


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`command` in `folder`, with this environment's programs and without a Prefect server of anyone's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env |= {"DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's tracked files in a git repository of their own, with little data and short training."""
    folder = tmp_path_factory.mktemp("project") / "darkroom"
    listed = run(ROOT, "git", "ls-files", "-z").stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    _write_small_data(folder / "data/raw")
    _shorten(folder / "params.yaml")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(
        folder, "git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "A small project"
    )
    return folder


@pytest.fixture
def clone(small_project: Path, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes fresh clones of the small project, with the raw data in them."""

    def make(name: str) -> Path:
        run(tmp_path, "git", "clone", "-q", str(small_project), name)
        folder = tmp_path / name
        run(folder, "git", "config", "user.name", "t")
        run(folder, "git", "config", "user.email", "t@t.invalid")
        shutil.copytree(small_project / "data/raw", folder / "data/raw", dirs_exist_ok=True)
        return folder

    yield make
    shutil.rmtree(tmp_path)  # pytest keeps the last three; these are large


def _write_small_data(raw: Path) -> None:
    """Ten kinds of picture, a bright block in ten places, as IDX files pinned by the .dvc file."""
    pinned = yaml.safe_load((raw / "fashion-mnist.dvc").read_text())
    rng = np.random.default_rng(0)
    for out in pinned["outs"]:
        path = raw / out["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        count = 600 if "train" in path.name else 200
        labels = np.arange(count, dtype=np.uint8) % 10
        content = _images(labels, rng) if "images" in path.name else labels
        header = bytes([0, 0, 8, content.ndim]) + b"".join(n.to_bytes(4, "big") for n in content.shape)
        path.write_bytes(header + content.tobytes())
        out["md5"], out["size"] = md5(path.read_bytes()).hexdigest(), path.stat().st_size
    (raw / "fashion-mnist.dvc").write_text(yaml.safe_dump(pinned, sort_keys=False))


def _images(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        top, left = 2 + row * 8, 1 + column * 7
        image[top : top + 8, left : left + 6] = rng.integers(150, 256, (8, 6))
    return images


def _shorten(path: Path) -> None:
    """The same keys with values that train for seconds, and with the libraries that are here."""
    params: dict[str, Any] = yaml.safe_load(path.read_text())
    params["preprocess"]["detection"]["count"] = {"train": 64, "val": 16, "test": 16}
    params["libraries"] = {name: installed(name) for name in params["libraries"]}
    for stage in ("train-classifier", "train-detector", "train-gan"):
        params[stage]["epochs"] = 1
    params["train-gan"]["failure"] = {"recall_min": 0.0}  # after so little every generator looks collapsed
    params["evaluate"]["resamples"] = 100  # the fewest that it takes
    params["evaluate"]["generation"] = {"samples_per_class": 10, "score": {"pictures": 100}}
    params["fuse"] |= {"pictures": 6, "scenes": 6}
    path.write_text(yaml.safe_dump(params, sort_keys=False))
