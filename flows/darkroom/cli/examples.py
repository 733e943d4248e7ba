"""Examples of each command, as its help shows them below the options."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "plan": ("darkroom plan", "darkroom plan evaluate --json"),
    "run": ("darkroom run", "darkroom run evaluate --keep-going", "darkroom run --json | jq .event"),
    "worker": ("darkroom worker --pool gpu --storage /mnt/shared",),
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
"""By command. `metrics`, `diff` and `report` say their own, and so do the commands of stages/by_hand."""


def epilog_of(command: str) -> str | None:
    """The examples as click takes them: lines that it does not wrap."""
    lines = EXAMPLES.get(command)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
