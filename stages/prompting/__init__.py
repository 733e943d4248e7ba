"""What a generator can be asked for: texts and numbers.

params: the parameters of texts
captions: the captions of training pictures
text_encoders: texts as vectors
attributes: numbers
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
