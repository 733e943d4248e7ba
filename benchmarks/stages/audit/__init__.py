"""Every figure that is printed, computed once more by other means.

classifier, detector, generator: on what evaluate left; fusion: on what fuse left, and on photographs
fused: the methods of fusion, from their papers; table: rows of product, independent value, difference
"""
