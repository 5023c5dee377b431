"""The pieces of the report: its data, figures, pictures and sections."""
