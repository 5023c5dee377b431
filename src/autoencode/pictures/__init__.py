"""Photographs of any size: noise taken out of them, and missing parts restored."""
