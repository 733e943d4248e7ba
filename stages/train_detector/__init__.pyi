from .stage import main as main
