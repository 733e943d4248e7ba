from .params import FuseParams as FuseParams
from .stage import main as main
