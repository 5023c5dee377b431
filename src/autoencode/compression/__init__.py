"""Data -> integers within a stated bound -> a model's frozen tables -> a file, and back."""
