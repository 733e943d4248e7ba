from .evaluation import evaluate_classifier as evaluate_classifier
from .metrics import calibration_error as calibration_error
from .metrics import confusion as confusion
from .metrics import reliability as reliability
