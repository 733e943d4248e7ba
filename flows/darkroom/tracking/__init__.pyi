from .journal import PATIENCE_OF_DEPLOYMENTS as PATIENCE_OF_DEPLOYMENTS
from .journal import Journal as Journal
from .journal import Publish as Publish
from .journal import no_page as no_page
from .living_runs import end_killed as end_killed
from .pipeline import PATIENCE as PATIENCE
from .recorder import start_recorder as start_recorder
