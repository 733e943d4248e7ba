from .reference import SIZES as SIZES
from .reference import TRAIN_MOST as TRAIN_MOST
from .reference import Features as Features
from .reference import Reference as Reference
from .reference import make_reference as make_reference
from .reference import read_reference as read_reference
from .reference import write_reference as write_reference
