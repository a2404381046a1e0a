"""The admin endpoint and who asks it: status, metrics and actions as JSON and text; what they act upon is handed in."""
