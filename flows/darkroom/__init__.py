"""The scheduler half: runs the stages of any DVC repository in parallel and records them with Prefect.

`make_plan` says what a run would do, and `run_pipeline` does it. Both take `RunOptions`. The first contract
of pyproject.toml lists the layers from the command line down; docs/architecture.md draws them.

cli: the command line
deployments, service: flows that run by schedule, and the services that execute them
results: figures at several revisions, side by side
projects: new projects and stages
releases: models that beat the released ones
remote, hosting, exchange: stages on other hosts; what such a host does; the files between run and host
clones: the clones in which scheduled flows work
reporting, tracking, server: what a run reports; its delivery to Prefect; Prefect's server
show: terminal output and pages
runs: one run, made of the packages below
workspace, repository: stages that are begun and recorded; what DVC knows
gpus, schedule: leases of GPUs; which stage starts when
ledger: the text of dvc.lock
processes, raw_data, base: commands as processes; raw files; what all packages need
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
