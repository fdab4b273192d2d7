"""The nouns of gpualloc and the pure functions that several rooms share. Standard library only."""
