from .pipeline import TransformGenerators as TransformGenerators
from .pipeline import TransformSpec as TransformSpec
from .pipeline import check_on as check_on
