from .params import TrainClassifierParams as TrainClassifierParams
from .stage import main as main
