from .fitting import Size as Size
from .fitting import evenly_chosen as evenly_chosen
from .fitting import fitted_shape as fitted_shape
from .fitting import median_size as median_size
from .fitting import sizes_of as sizes_of
from .readers import read_source as read_source
from .stage import main as main
