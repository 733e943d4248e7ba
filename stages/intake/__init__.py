"""From picture files to rows of pixels: decoded side by side, checked, cached.

intake: all pictures of a source; decoding: one file, by form, header, pixels, eight_bit and geometry
folders: what others have put into a folder; side_by_side: processes
picture_cache: pictures decoded before; pixel_rows, columns: many in little memory
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
