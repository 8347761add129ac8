"""The alert rules over stored history: what would have fired. Nobody is alerted, and nothing stored is changed."""
