"""What every package above needs: errors, files, git and words. It imports none of them.

errors, exits: errors that a user can fix, and the exit codes of the command
files: files that are written completely or not at all
roots: the root folder of a repository
locks: file locks that the kernel frees
yaml_files, meta: the YAML files and the `meta` keys that users write
git, interpreter: git and Python as child processes, protected from the user's own files
escapes: text from outside, made harmless
text: numbers and durations in words
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
