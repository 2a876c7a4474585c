"""Models: which there are, where each may be had, and the folder in which they stand, checked."""
