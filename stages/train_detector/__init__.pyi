from .params import TrainDetectorParams as TrainDetectorParams
from .stage import main as main
