"""Data of any form in, tables of numbers out: arrays, frames, files."""
