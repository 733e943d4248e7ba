"""What a run records, as text: dvc.lock and similar files, complete at every moment and in serial order.

writer: what a run adds
lock_text: dvc.lock as blocks, one a stage
ignore_lines: lines of .gitignore files
other_outs: stages whose outs differ from those of the last commit, although the inputs are the same
plain_yaml: writes simple YAML quickly, which is nearly all of it
ahead: stages that ended before their turn
unkept: outs that DVC's cache has not taken yet
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
