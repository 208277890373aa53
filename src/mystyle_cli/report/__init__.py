"""Figures as tables, plots and pages; nothing here prints."""
