from .evaluation import evaluate_detector as evaluate_detector
