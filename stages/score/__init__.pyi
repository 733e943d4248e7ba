from .params import ScoreParams as ScoreParams
from .stage import main as main
