"""params.yaml leaves out what has a default: with every key written out the results are the same."""

from typing import Any

import pytest
import yaml

from stages.by_hand.check_params import SECTIONS
from stages.by_hand.params import described_sections, page
from stages.core.params import StageParams
from stages.score.params import ScoreParams
from stages.train_detector.params import TrainDetectorParams
from stages.train_gan.params import TrainGanParams
from tests.places import ROOT

ALL: dict[str, type[StageParams]] = {**SECTIONS, "score": ScoreParams}
WRITTEN_OUT = yaml.safe_load((ROOT / "tests/stages/every_key.yaml").read_text())
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("pictures", [None, 100, 55_000])
@pytest.mark.parametrize("section", ALL)
def test_the_shipped_file_means_what_it_meant_when_every_key_stood_in_it(
    section: str, pictures: int | None
) -> None:
    def meant(values: Any) -> StageParams:
        return ALL[section].model_validate(values, context={"pictures": pictures})

    assert meant(SHIPPED.get(section, {})) == meant(WRITTEN_OUT[section])


def test_a_key_in_place_of_others_takes_their_defaults_away() -> None:
    adam = {"name": "adam", "learning_rate": 0.01}
    detector = TrainDetectorParams.model_validate({"optimizer": adam})
    assert (detector.learning_rate, detector.descent.learning_rate) == (None, 0.01)
    assert detector.rates.warmup == TrainDetectorParams.model_validate({}).warmup
    gan = TrainGanParams.model_validate({"optimizers": {"generator": adam, "discriminator": adam}})
    assert gan.descent.generator.learning_rate == 0.01
    with pytest.raises(ValueError, match="not both"):
        TrainDetectorParams.model_validate({"optimizer": adam, "weight_decay": 0.1})


def test_auto_is_derived_within_a_section_that_is_left_out_or_given_in_part() -> None:
    def failure(values: dict[str, Any]) -> tuple[int, int]:
        found = TrainGanParams.model_validate(values, context={"pictures": 200}).failure
        return found.grace, found.patience

    assert failure({}) == failure({"failure": {"recall_min": 0.5}}) == failure({"failure": {"grace": "auto"}})
    assert failure({"failure": {"grace": 3}})[0] == 3


def test_every_parameter_has_a_meaning() -> None:
    without = [one.key for one in described_sections() if not one.meaning]
    assert not without


def test_the_page_of_all_parameters_is_what_make_parameters_writes() -> None:
    assert (ROOT / "docs/parameters.md").read_text() == page(described_sections())
