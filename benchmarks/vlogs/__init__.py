"""Video logs, drawn and spoken, with their truth: from a seed, a plan, its questions and its video.

slots (values drawn from the seed) -> plan (what happens when) -> questions (what people ask) -> video (the files);
places, things and lettering draw the pictures, voice and sound make the sound.
"""
