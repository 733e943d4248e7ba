from .evaluation import evaluate_generator as evaluate_generator
from .evaluation import measuring_with as measuring_with
