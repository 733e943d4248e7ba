"""Commands that are given by hand, outside of any pipeline.

fuse, generate, data: `darkroom fuse`, `generate` and `data`; predict: `darkroom classify` and `detect`
export: `darkroom export`
check_params: what is wrong with params.yaml, said before a stage starts; params: `darkroom params`
seen: a folder by the names of its files; formats, tables: what it could be
prompts: what a generator is asked for; repair: `darkroom repair`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
