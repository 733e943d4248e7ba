"""What a run and other hosts exchange: orders, records, and the folder in which both lie.

orders: what is to be executed, and how it ended
board: the shared folder, in which each attempt has a place named by its token
code: commits for other hosts
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
