from .answering import classify as classify
from .answering import detect as detect
from .commands import main as main
from .explaining import explain as explain
