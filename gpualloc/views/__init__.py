"""Results turned into text, JSON or CSV. No decision is made here."""
