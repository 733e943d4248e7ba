"""A DVC repository as it is: what stands in it, and what is out of date.

opening: opened, with DVC's lock or without; graph: its stages in the serial order; judging: why a stage runs
commits, products: the files of a commit, and what stages made; unused: blobs that nothing refers to
errors, invalid: DVC's errors as ours, in one line; special_files, ignoring: what is not hashed, .gitignore
"""
