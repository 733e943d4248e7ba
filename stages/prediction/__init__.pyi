from .predictors import Box as Box
from .predictors import Classified as Classified
from .predictors import ClassifierPredictor as ClassifierPredictor
from .predictors import Detected as Detected
from .predictors import DetectorPredictor as DetectorPredictor
from .predictors import Unread as Unread
from .predictors import load_classifier as load_classifier
from .predictors import load_detector as load_detector
