"""The commands, one module for each group; what they need from torch they import when run."""
