"""Fill patterns of GPUs as linear and integer programmes: which sizes share one device, counted rather than placed."""
