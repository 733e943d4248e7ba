"""The scheduler half: the stages of any DVC repository, run in parallel and recorded under Prefect.

`make_plan` says what a run would do, `run_pipeline` does it, and both take `RunOptions`. The layers, from
the command line down, are the first contract of pyproject.toml; docs/architecture.md draws them.

cli; deployments and service: flows by schedule, and what keeps them going; results: figures at revisions,
side by side; projects: new ones; releases: models that were better
remote: stages on other hosts; hosting: what such a host does; exchange: what lies between the two
clones: where scheduled flows work; reporting: what a run tells; tracking, server: Prefect's part
show: output and pages
runs: one run, put together from workspace (stages begun and recorded), gpus, repository (what DVC knows),
schedule (what starts when), ledger (dvc.lock's text), processes, raw_data and base
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
