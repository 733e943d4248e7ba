"""Commands that are given by hand, outside of any pipeline.

fuse: `darkroom fuse`; generate: `darkroom generate`; command: errors of both in one line
prompts, drawn_folder: what a generator is asked for, and the files that come of it
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
