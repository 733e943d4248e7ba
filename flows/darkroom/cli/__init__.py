"""The command `darkroom`: each command reads its options, calls one package and prints the result.

main: `run`, `plan`, `fetch`, `ui` and the exit codes
options: options that several commands take
service: `up`, `down`, `status`
deployments: `sweep`, `rollback`, `gc`
results: `metrics`, `diff`, `report`
projects: `init` and `add`
worker: a host that executes stages of runs on other hosts
doctor: what this host has, and who uses it
vision: `fuse`, `generate` and more, which the stages' code executes
completion: completion of commands by the shell
examples: the examples in the help of the commands
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
