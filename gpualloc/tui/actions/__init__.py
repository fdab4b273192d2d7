"""What hands can do in the dashboard; each is a command of gpualloc too."""
