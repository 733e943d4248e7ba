from .evaluation import question_labels as question_labels
