"""The command `darkroom`: each command reads its options, calls one package and says how it went.

main: `run`, `plan`, `fetch`, `ui` and the exit codes; options: what several commands take
service: `up`, `down`, `status`; deployments: `sweep`, `rollback`, `gc`
results: `metrics`, `diff` and `report`; projects: `init` and `add`
worker: a host that takes stages of other hosts; doctor: what this host has, and who holds it
vision: `fuse`, `generate` and more, which the stages' code executes
completion: commands completed by the shell; examples: those of the commands' help
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
