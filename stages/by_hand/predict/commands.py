"""Which of the commands is meant."""

import sys
from collections.abc import Sequence

from stages.by_hand.predict.answering import classify, detect
from stages.by_hand.predict.explaining import explain
from stages.core.cli import run_by_hand

COMMANDS = {"classify": classify, "detect": detect, "explain": explain}


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the first one is `classify`, `detect` or `explain`."""
    name, *rest = sys.argv[1:] if words is None else words
    return run_by_hand(COMMANDS[name], f"darkroom {name}", rest)
