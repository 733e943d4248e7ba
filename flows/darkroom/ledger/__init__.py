"""What a run writes down, as text: dvc.lock and its like, whole at every moment and in the serial order.

writer: what a run adds; lock_text: dvc.lock in blocks, one a stage; ignore_lines: lines of .gitignore files
other_outs: stages that made something else than the last commit records, of the same inputs
plain_yaml: the YAML of nearly all of them, written quickly
ahead: stages that ended before their turn; unkept: outs that DVC's cache has not taken yet
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
