"""Commands that users give by hand, and the check of params.yaml that runs before a stage starts.

fuse, generate, data: `darkroom fuse`, `generate` and `data`
predict: `darkroom classify`, `detect` and `explain`
export: `darkroom export`
params: `darkroom params`
check_params: lists what is wrong with params.yaml before a stage starts
seen: a folder, described by the names of its files
guessing, tables: which format such a folder could have
prompts: what a generator is asked for
repair: `darkroom repair`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
