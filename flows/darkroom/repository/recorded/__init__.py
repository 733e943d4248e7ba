"""What a repository records and shows, now and at commits.

revisions: figures, parameters and hashes at a commit, a branch, a tag or now
plots: the plots of dvc.yaml
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
