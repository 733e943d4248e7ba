"""What a run and other hosts have between them: orders, records, and the place where both lie.

orders: what is to be executed, and how it ended; board: where both lie, each attempt by its token
code: commits for other hosts
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
