"""Processes: a stage's command with all that it starts, and what outlives the terminal.

stage_process: one command and its end; process_group: dies with its owner; out_of_memory
stage_output: what it prints, kept and passed on; lines: of bytes in pieces; excerpt: where there are too many
stage_lock: no stage runs twice at once; descent, fanotify, witness: which process changed a file
stopping: Ctrl-C and its like; daemons: server and workers, known by a lock
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
