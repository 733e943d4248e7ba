"""What people see of a run: on the terminal and on Prefect's pages.

terminal: the live display and the plan
pages, markdown: a run's page
output: standard output and standard error, which may be closed
wording: times and figures in words
progress: a stage's progress, read from its output
relay: passes events on, so that no stage waits for a display
machine: events as JSON, for programs
load: what is in use on the host
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
