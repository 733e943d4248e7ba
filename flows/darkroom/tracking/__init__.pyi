from .journal import PATIENCE_OF_DEPLOYMENTS as PATIENCE_OF_DEPLOYMENTS
from .journal import Journal as Journal
from .journal import Publish as Publish
from .journal import no_page as no_page
from .recorder_process import deliver_beside as deliver_beside
from .served import has_server as has_server
