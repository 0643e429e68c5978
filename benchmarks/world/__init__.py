"""A synthetic world with exact truth: rooms, objects, figures, signs and sounds, drawn, heard and told from a seed.

vocabulary (what there is, and its names) -> captions (how it is told) ; sprites, rooms, picture (how it looks) ;
sounds (how it sounds) ; story (what happens when, on a floor plan) -> video, percepts and questions.
"""
