"""What every stage stands on: command line, parameters, files, prepared data.

cli, errors: a stage as a command, and its errors in one line; params: params.yaml as typed classes
libraries, seeds: what decides bits beside parameters: versions, seeds, threads
splits, packed: what preprocess writes and all others read
files, tables: files written whole, tables for plots
texts: names from anywhere as what can be printed
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
