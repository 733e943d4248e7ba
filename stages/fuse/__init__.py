"""The stage `fuse`: real and generated pictures, scenes and a user's own, fused by every method.

stage: the whole; params; limits: what of it cannot fit pictures and networks
kinds: which groups are fused; composites: items set into scenes
networks, measuring: what trained networks see, and all figures; sheets: what is shown
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
