from .params import TrainGanParams as TrainGanParams
from .stage import main as main
