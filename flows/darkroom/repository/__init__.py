"""A DVC repository as it is: what stands in it, and what is out of date.

DVC is imported here and in workspace alone.

opening: opened, with DVC's lock or without; graph: its stages in the serial order; judging: why a stage runs
commits, products: the files of a commit, and what stages made; unused: blobs that nothing refers to
recorded: what a repository records at a commit, a branch, a tag or now, and the plots of dvc.yaml
errors, invalid: DVC's errors as ours, in one line; ignoring: .gitignore
patches: what is another in DVC while a repository is open; rwlock: which paths are in use, by DVC's own file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
