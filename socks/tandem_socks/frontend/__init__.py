"""The port as a whole: accepts clients, lets a dialect read what they want, asks the far side, carries bytes."""
