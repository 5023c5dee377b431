"""Kinds of noise, each in a place of its own."""
