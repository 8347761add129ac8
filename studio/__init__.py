"""The studio model and the pure functions that turn it into everything that is deployed."""
