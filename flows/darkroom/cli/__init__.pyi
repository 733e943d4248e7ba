from .main import app as app
from .main import run_command as run_command
