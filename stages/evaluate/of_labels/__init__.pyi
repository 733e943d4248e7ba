from .evaluation import BOX_COLUMNS as BOX_COLUMNS
from .evaluation import CLASS_COLUMNS as CLASS_COLUMNS
from .evaluation import question_labels as question_labels
