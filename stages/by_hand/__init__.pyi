from .command import run_by_hand as run_by_hand
