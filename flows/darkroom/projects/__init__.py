"""New projects, and new stages in a project: what `darkroom init` and `darkroom add` write.

vision: a project for a user's pictures
scheduled: the files that a DVC repository needs for scheduled runs
stage: a new stage
pipeline_text: dvc.yaml edited as text, so that comments stay
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
