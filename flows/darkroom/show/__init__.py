"""What people see of a run: the terminal, Prefect's pages, and the words of both.

terminal: the live display and the plan; pages, markdown: a run's page; output: streams that may be closed
wording: what both say; progress: how far a stage is, as its own lines tell; relay: nobody waits for them
machine: events as JSON, for programs; load: what of the host is in use
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
