"""What an experiment needs: settings, runs that are found again, a trainer, and the protocol that compares conditions."""
