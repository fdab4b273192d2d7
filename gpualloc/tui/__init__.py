"""The dashboard behind `gpualloc top`."""
