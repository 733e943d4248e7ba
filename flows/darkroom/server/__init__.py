"""A project's Prefect server: its database, its login, and which process serves it.

configured: which Prefect API is set, and whether it answers
serving: Prefect's web server in this process
sharing: never two servers of a project at once
clients: the settings of Prefect's client
places: the files and addresses of servers
closed: Prefect's application, behind a login
database, blank_database: Prefect's database checked before a start, and an empty one
login, login_links, login_page: who may use the server
event_order: in which order the server looks at events
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
