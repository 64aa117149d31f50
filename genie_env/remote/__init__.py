"""A world on another machine: a server of dreams over WebSocket, and environments that play in them."""
