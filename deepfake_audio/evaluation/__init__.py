"""About a model: from the file of scores to metrics with intervals, pictures and a model card."""
