"""The Celery side: an app, tasks that are doorbells, and a ticker that rings them. Carries no facts."""
