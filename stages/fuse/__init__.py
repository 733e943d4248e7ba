"""The stage `fuse`: fuses real and generated pictures, scenes and a user's own pictures by every method.

stage: the whole stage
params: its section of params.yaml
limits: what in that section cannot fit the pictures and networks
kinds: which groups are fused
composites: items set into scenes
networks, measuring: what trained networks see, and all figures
sheets: the picture sheets
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
