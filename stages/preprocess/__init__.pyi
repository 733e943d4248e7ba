from .readers import read_source as read_source
from .stage import main as main
