"""Image generation from scratch: the small helper library behind the lessons."""

__version__ = "1.0.0"
