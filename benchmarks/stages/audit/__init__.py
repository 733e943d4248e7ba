"""Every figure that is printed, computed once more by other means.

classifier, detector, generator: on what evaluate left; fusion, seen: on what fuse left, and on photographs
fused: the methods of fusion, from their papers; intervals: how sure figures are; preparation: counts, sizes,
validation; pipeline: all of these; printed: which figures there are, and why some have no row; table: rows
"""
