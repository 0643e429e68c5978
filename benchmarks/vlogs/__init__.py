"""Video logs that are drawn and spoken, with truth: from a seed, a plan of scenes, words, signs and sounds, its questions, its video.

slots (values drawn from the seed) -> plan (what happens when) -> questions (what people ask) -> video (the files);
places, things and lettering draw the pictures, voice and sound make the sound.
"""
