"""Recorded and published traces: nodes and tasks read from files, arrival orders, and the figures drawn from a run.

Pure: nothing here opens a file. The caller opens it as bytes; `lines.text_lines` and `arrivals.read_arrivals` read it.
The formats are told in docs/traces.md.
"""
