"""What a run and other hosts exchange: orders, records, and the storage in which both lie.

orders: what is to be executed, and how it ended
board: the small files in the storage, in which each attempt has a place named by its token
storages: where a board may lie: a folder, S3, or a folder behind sshd
printed: what a stage prints, in pieces
code: commits for other hosts
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
