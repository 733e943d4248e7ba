"""Prefect's server of a project: its database, its login, and one that lives as long as a run.

temporary: the server that records a run, whichever that is; closed: Prefect's application, behind a login
database, blank_database: Prefect's database before a start, and a new one; login, login_links: who may ask
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
