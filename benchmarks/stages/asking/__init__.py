"""What a detector gains from more looks at a picture, and what its heat maps are worth.

augmented: `darkroom detect --augment`, by two ways of merging; explained: `darkroom explain --detector`
trained: the detector that both ask, and its pictures
"""
