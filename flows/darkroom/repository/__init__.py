"""A DVC repository as it is: what it contains, and what is out of date.

Only this package and workspace import DVC.

opening: a repository, opened with DVC's lock or without
graph: its stages in the serial order
judging: why a stage runs
commits, products: the files of a commit, and what stages made or only keep
unused: files in the cache that nothing refers to
blobs: files by their hashes, in a store like DVC's cache
recorded: what a repository records at a commit, a branch, a tag or now, and the plots of dvc.yaml
filesystems: the places where such a store may lie, such as S3
errors, invalid: DVC's errors as darkroom's own, in one line
ignoring: lines of .gitignore files
patches: the functions of DVC that are replaced while a repository is open
rwlock: which paths are in use, by DVC's own file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
