"""What every package above needs, and what needs none of them: errors, files, git, words.

errors, exits: what a user can mend, and the codes that the command ends with
files, roots, locks: written whole, of repositories, freed by the kernel
yaml_files, meta: what users write in YAML
git, interpreter: other programs, of which nothing of the user's is taken by mistake
escapes, text: texts from outside made harmless; numbers and durations in words
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
