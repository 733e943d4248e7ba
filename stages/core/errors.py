"""Errors of a stage that the user can fix.

StageError          one line: what is wrong, where, and how to fix it
├── ParamsError     a key of params.yaml
├── LibraryError    a library in another version
├── DataError       a picture, a label, an annotation, an array
├── ModelError      a model file
└── TrainingError   training that went wrong (NaN, collapse)
"""


class StageError(Exception):
    """One line that says what is wrong, where (file, key, row) and how to mend it."""


class ParamsError(StageError):
    """A missing, unknown or ill-typed key of params.yaml."""


class LibraryError(StageError):
    """A library that decides results, in another version than params.yaml says."""


class DataError(StageError):
    """Input that is not what the stage was promised."""


class ModelError(StageError):
    """A model file that is not one, or is of another kind."""


class TrainingError(StageError):
    """Training that must not go on: a loss that is not finite, a collapsed generator."""
