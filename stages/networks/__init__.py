"""What all networks need: a device, calibrated scores, and files.

compute: device, precision, threads and seeds
calibration: scores that are probabilities
model_files: models as safetensors
weights: files of weights from other libraries
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
