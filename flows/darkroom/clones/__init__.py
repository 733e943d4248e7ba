"""The clones of the project in which scheduled flows work, so that the user's workspace stays untouched.

clone: a clone is made, is held by one flow at a time, and is removed
checkout: a commit of another repository, for imported data
child: a command in a clone, which ends with its flow run
garbage: what `darkroom gc` may remove
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
