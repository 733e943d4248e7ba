"""What a generator can be asked for: texts and numbers.

params: what params.yaml says of texts
captions: what training pictures are called; text_encoders: texts as vectors; attributes: numbers
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
