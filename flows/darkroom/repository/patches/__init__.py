"""What is another in DVC while a repository of ours is open.

replacing: puts all of it in place, and takes it back; special_files: pipes and devices are not opened
plain_paths, file_hashes, git_index: what DVC does again for each dep and out, done once
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
