"""Where pictures come from: one file a format, each giving rows in the form of rows.

idx, image_folder, video, and the packages annotations, label_tools and tables: the formats
crops, composed: made of those
documents, naming: files of annotations, and the names of pictures in them
rows: the one form; params, preparation: what params.yaml says; policy: what was done about faulty data
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
