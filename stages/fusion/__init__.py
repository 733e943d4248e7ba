"""Fusing pictures of one scene into one: reading, aligning, the methods, how well they do."""
