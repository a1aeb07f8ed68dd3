"""About recordings: what people read, in words, tables, pages, pictures and labels."""
