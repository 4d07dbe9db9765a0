"""Layers of the viewer: what is read from them and what is added."""
