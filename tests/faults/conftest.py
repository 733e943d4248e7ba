import pytest

from tests.faults.repository import Start, make_starts


@pytest.fixture(scope="session")
def starts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Start, ...]:
    return make_starts(tmp_path_factory.mktemp("starts"))


@pytest.fixture
def start(starts: tuple[Start, ...]) -> Start:
    """With a dvc.lock before and after."""
    return starts[1]
