"""The functions of DVC that are replaced while darkroom has a repository open.

replacing: makes all replacements, and undoes them
special_files: pipes and devices are not opened
plain_paths, file_hashes, git_index: work that DVC repeats for each dep and out, done once
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
