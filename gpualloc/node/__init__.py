"""The node program: everything that touches a host's hardware and processes.

It runs on nodes where nothing of ours is installed, under whatever python3 is there (3.6 or newer),
so it uses the standard library only (and nvidia-ml-py's single file, sent along), and imports nothing of gpualloc
but itself. Annotations that 3.6 cannot evaluate are quoted; there are no dataclasses; `%` formats where it is clearer.
"""
