"""Log-mel spectrograms, the windows cut from them, what is speech, and features kept on disk."""
