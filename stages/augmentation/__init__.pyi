from .params import TransformSpec as TransformSpec
from .pipeline import TransformGenerators as TransformGenerators
from .pipeline import check_on as check_on
