"""What all networks need: a device, and files.

compute: device, precision, threads and seeds; calibration: scores that mean what they say
model_files: models as safetensors; weights: files of other libraries
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
