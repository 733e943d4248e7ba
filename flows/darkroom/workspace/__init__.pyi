from .workspace import ChangedBesideError as ChangedBesideError
from .workspace import Workspace as Workspace
