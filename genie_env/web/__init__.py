"""A world as a static web page that dreams in the visitor's browser."""
