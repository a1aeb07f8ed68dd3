"""Sound of any length to a verdict, a confidence and a timeline; many recordings at once."""
