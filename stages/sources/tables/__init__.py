"""Tables that name a picture in each row: CSV, lines of JSON, Parquet.

params: what params.yaml says of them
table_file: rows of cells, however they are written; manifest: pictures of one thing each; box_table: boxes
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
