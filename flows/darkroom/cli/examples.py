"""The line that `darkroom --help` prints for each command, and the examples in each command's own help."""

from collections.abc import Mapping

IN_A_LINE: Mapping[str, str] = {
    "attempts": "Say what became of a run's stages on other hosts.",
    "status": "Say what is up, what runs, what is due next, and what is stuck.",
    "up": "Start Prefect's server, workers and schedules of this project.",
    "ui": "Serve Prefect's pages with all runs so far, until Ctrl-C.",
    "doctor": "Say who holds this host's GPUs, who waits, and what is wrong.",
    "gc": "Free disk space: old logs, clones, checkpoints, unused results.",
    "metrics": "Show metrics, the most important first.",
    "diff": "Compare two revisions: metrics, parameters, data and code.",
    "report": "Write one page with times, metrics, plots, pictures and models.",
    "sweep": "Try other parameters; each trial is a DVC experiment.",
    "rollback": "Release the version before the released one again.",
}
"""Short sentences for commands whose own first sentence is longer than a line of the list."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "plan": ("darkroom plan", "darkroom plan evaluate --json"),
    "run": ("darkroom run", "darkroom run evaluate --keep-going", "darkroom run --json | jq .event"),
    "worker": ("darkroom worker --pool gpu --storage /mnt/shared",),
    "attempts": ("darkroom attempts", "darkroom attempts 20260101-020000-4711 --json"),
    "status": ("darkroom status", "darkroom status --json"),
    "up": ("darkroom up", "darkroom up --port 4300"),
    "down": ("darkroom down",),
    "ui": ("darkroom ui", "darkroom ui --port 4300 --no-browser"),
    "fetch": ("darkroom fetch", "darkroom fetch --from ~/downloads"),
    "doctor": ("darkroom doctor", "darkroom doctor --json"),
    "gc": ("darkroom gc", "darkroom gc --yes"),
    "sweep": (
        "darkroom sweep -S train-classifier.label_smoothing=0.0,0.1"
        " --metric data/metrics/train-classifier.json:val_accuracy",
    ),
    "rollback": ("darkroom rollback",),
    "init": ("darkroom init flowers --pictures ~/flowers --task classify", "darkroom init"),
    "add": ("darkroom add stage count-cells",),
    "completion": (
        "darkroom completion bash >> ~/.bashrc",
        "darkroom completion zsh >> ~/.zshrc",
        "darkroom completion fish > ~/.config/fish/completions/darkroom.fish",
    ),
}
"""Examples by command. `metrics`, `diff` and `report` have their own, and so do those of stages/by_hand."""


def epilog_of(command: str) -> str | None:
    """The examples as click takes them: lines that it does not wrap."""
    lines = EXAMPLES.get(command)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
