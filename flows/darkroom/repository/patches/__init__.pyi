from .replacing import patched_dvc as patched_dvc
