from . import gate as gate
from . import releases as releases
from .promotion import GateFailedError as GateFailedError
from .promotion import promote_if_better as promote_if_better
from .releases import Release as Release
