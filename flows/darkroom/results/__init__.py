"""What the pipeline has come to: figures, parameters, data and pictures at revisions, side by side.

comparison: what differs between two revisions, and which figures are better
intervals: how far a figure can be believed; tables: both on a terminal
gathering: what a page shows of a repository, with sheets (pictures), charts (plots as SVG) and provenance
(commit, versions, machine, model cards); page: all of it as one HTML file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
