"""The schema's history. Each revision goes up and down; `env.py` lets only one process migrate at a time."""
