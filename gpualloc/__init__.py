"""gpualloc: see, plan and apply GPU allocations on servers you reach locally or over ssh."""

__version__ = "0.1.0"
