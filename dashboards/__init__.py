"""Grafana dashboards as Python: what each shows, and the rules that they keep (`dashboards.lint`)."""
