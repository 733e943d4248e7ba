"""Prefect's server of a project: its database, its login, and which process serves it.

configured, api: which Prefect API is set, and whether it answers
serving: Prefect's web server in this process; sharing: the servers of a project that run already
clients: the settings of Prefect's client; places: a server's files and addresses
closed: Prefect's application, behind a login
database, blank_database: Prefect's database before a start, and a new one
login, login_links, login_page: who may ask
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
