"""The alert rules put to the test: cases (alerts/tests) run by VictoriaMetrics' own vmalert-tool, and mutants."""
