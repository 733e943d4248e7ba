"""What every stage needs: the command line, parameters, files and prepared data.

cli, errors: a stage as a command, and its errors in one line
params: params.yaml as typed classes
libraries, seeds: versions, seeds and threads, which also decide the bits of a result
splits, packed: the files that preprocess writes and all other stages read
files, tables: files that are written completely or not at all, and tables for plots
texts: names from outside, made printable
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
