"""Pages for people, made from records and from nothing else (docs/report.md)."""
