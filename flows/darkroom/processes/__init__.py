"""Processes: a stage's command with everything that it starts, and services that outlive the terminal.

stage_process: one command, and how it ended
process_group: a group of processes that dies with its owner
out_of_memory: whether a stage ended for lack of memory
stage_output: the output, logged and passed on
lines: lines from bytes that come in pieces
excerpt: the lines that are passed on if there are too many
stage_lock: a stage never runs twice at once
descent, fanotify, witness: which process changed a file
stopping: Ctrl-C and similar signals
daemons: servers and workers, each known by a lock
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
