"""Floor 2: signal to embeddings and words: sight, sound, speech, captions, text."""
