"""`darkroom classify`, `detect` and `explain`: a trained model's answers for pictures.

    darkroom classify photo.jpg --nearest 5
    darkroom detect photos --threshold 0.3 --format coco --out found.json --draw drawn
    find . -name '*.png' | darkroom classify - --format csv
    darkroom detect film.mp4 --every 5 --draw drawn
    darkroom explain photos --out explained

Exit codes: 0; 1 if a picture could not be read; 2 with one line if the user's input is wrong.

answering: `classify` and `detect`; explaining: `explain`
options: what the commands have in common; drawing: pictures of their answers; commands: which one is meant
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
