"""A throwaway Debian host to deploy to: built, booted, looked at, thrown away."""
