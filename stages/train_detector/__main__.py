"""Run the stage."""

from stages.core.cli import run_stage
from stages.train_detector.stage import main

if __name__ == "__main__":
    run_stage(main)
