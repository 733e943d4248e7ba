"""The pipeline's results: figures, parameters, data and pictures at several revisions, side by side.

comparison: what differs between two revisions, and which figures are better
intervals: how certain a figure is
tables: figures and differences on a terminal
gathering: what a page shows of a repository
sheets, charts: its pictures, and its plots as SVG
provenance: commit, versions, machine and model cards
page: all of it as one HTML file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
