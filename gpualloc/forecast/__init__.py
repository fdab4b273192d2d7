"""What will be needed: pure forecasters over series on a grid. numpy, imported by commands that forecast."""
