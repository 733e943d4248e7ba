"""A DVC repository at work: stages are begun, finished or abandoned, and recorded as `dvc repro` does.

workspace: one repository, made of all other modules
run_cache: stages that need not be executed
keeping: puts outs into DVC's cache, synced to disk
recording: dvc.lock and .gitignore, in the serial order
changes, witnesses: who changed a dep during a run
holding: which stages are held, and their paths
stage_errors: errors that name their stage
carried: files for other hosts
experiments: a run kept as by `dvc exp run`
synced_cache: files that a power cut cannot empty
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
