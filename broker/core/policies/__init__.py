"""Rules by pattern: policies, operator policies, and what their keys mean."""
