"""One file per verb: parse, call the engine, render."""
