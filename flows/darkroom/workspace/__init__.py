"""A DVC repository at work: stages begun, finished or abandoned in it, recorded as `dvc repro` does.

workspace: made of all others; run_cache: what need not be executed; keeping: outs into DVC's cache, synced
recording: dvc.lock and .gitignore, in the serial order; changes, witnesses: who changed a dep in a run
holding: which stages are held, and their paths; stage_errors: errors that name their stage
carried: files for other hosts; experiments: a run kept as `dvc exp run` does
synced_cache: files that a power cut cannot empty
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
