from .plots import Plot as Plot
from .plots import plots_of as plots_of
from .revisions import WORKSPACE as WORKSPACE
from .revisions import FileKind as FileKind
from .revisions import Recorded as Recorded
from .revisions import RecordedFile as RecordedFile
from .revisions import has_commits as has_commits
from .revisions import recorded_at as recorded_at
