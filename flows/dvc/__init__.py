"""The only package that imports DVC.

workspace: a repository planned and run, made of the others
repository: opened, locked; graph: its stages in the serial order; judging: why a stage runs
run_cache: what need not be executed; holding: which paths are in use; committing: outs into DVC's cache
recording: dvc.lock, .dvc and .gitignore files; results, experiments: what is shown and kept of a run
commits: the files of one; errors, stage_errors: DVC's as ours, in one line
"""
