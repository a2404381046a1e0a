"""The admin endpoint and the code that asks it: status, metrics, actions. What they act upon is passed in."""
