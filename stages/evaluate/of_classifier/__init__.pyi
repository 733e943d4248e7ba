from .attributes import ATTRIBUTE_COLUMNS as ATTRIBUTE_COLUMNS
from .evaluation import evaluate_classifier as evaluate_classifier
from .grad_cam import overlaid as overlaid
from .grad_cam import with_scale as with_scale
from .metrics import calibration_error as calibration_error
from .metrics import confusion as confusion
from .metrics import reliability as reliability
