"""How people put it: phrasings of each kind of question, and things that no video of the world holds."""

from __future__ import annotations

PHRASINGS: dict[str, tuple[str, ...]] = {
    "speech-when topic": (
        "When is {topic} mentioned?",
        "When does someone talk about {topic}?",
        "At what time does a voice bring up {topic}?",
        "Find the moment where they speak about {topic}.",
        "Where in the recording is {topic} talked about?",
        "At which point does the narrator say something about {topic}?",
    ),
    "speech-when quote": (
        "When does a voice say '{quote}'?",
        "At what point do we hear the words '{quote}'?",
        "When is the phrase '{quote}' spoken?",
        'When exactly does somebody say "{quote}"?',
        "In which part of the video can you hear '{quote}'?",
        "Show me where it is said: '{quote}'.",
    ),
    "speech-what topic": (
        "What does the speaker say about {topic}?",
        "What do we hear about {topic}?",
        "What did the voice tell us about {topic}?",
        "What is said about {topic}?",
        "Repeat what was said about {topic}.",
        "What do they say concerning {topic}?",
    ),
    "speech-what sign": (
        "What is said while the caption {sign} is on screen?",
        "What does the voice say when the sign {sign} can be read?",
        "Which words are spoken during the caption '{sign}'?",
        "While {sign} is displayed, what do we hear somebody say?",
        "What is being said as the text {sign} shows?",
        "What do they say at the time {sign} is written on the screen?",
    ),
    "caption-when": (
        "When is the caption {sign} shown?",
        "When does the text '{sign}' appear on screen?",
        "At what point can one read {sign}?",
        "When do the words {sign} stand in the picture?",
        "At what time is '{sign}' displayed?",
        "Where in the video is the sign {sign}?",
    ),
    "caption-when part": (
        "When does a caption with '{part}' appear?",
        "When can you read something that begins with {part}?",
        "When is {part} written on the screen?",
        "At which moment does the text on screen mention {part}?",
    ),
    "caption-when slide": (
        "When is the slide '{slide}' shown?",
        "At what time does the talk get to the slide {slide}?",
        "When does the slide titled '{slide}' come up?",
        "During which part is the {slide} slide on screen?",
        "When can we see '{slide}' as a title?",
    ),
    "caption-what place": (
        "What caption is shown in the {place}?",
        "What can be read on screen while we see the {place}?",
        "Which text appears in the scene at the {place}?",
        "What does the sign in the {place} say?",
    ),
    "cross caption": (
        "Which caption is on screen while '{quote}' is said?",
        "What can you read on the screen when {topic} is mentioned?",
        "Which text is shown during the words '{quote}'?",
        "When someone says '{quote}', what does the caption read?",
        "Which sign do we see as the voice talks about {topic}?",
        "What is written on screen while they speak of {topic}?",
    ),
    "cross slide": (
        "Which slide is shown while '{quote}' is said?",
        "On which slide does the speaker talk about {topic}?",
        "What is the title of the slide during the words '{quote}'?",
        "Which slide is up when the voice says '{quote}'?",
    ),
    "cross said": (
        "What is said while the slide '{slide}' is shown?",
        "What does the speaker say over the slide {slide}?",
        "Which words go with the slide '{slide}'?",
        "What do we hear during the {slide} slide?",
    ),
    "cross sound": (
        "What is on screen while {sound} is heard?",
        "What do we see during the sound of {sound}?",
        "Which scene has {sound} in it?",
        "What is shown at the moment of {sound}?",
    ),
    "order first": (
        "Which is mentioned first: {a} or {b}?",
        "What comes up earlier, {a} or {b}?",
        "Which do they talk about first, {b} or {a}?",
        "Of {a} and {b}, which is spoken of first?",
    ),
    "order last": (
        "Which is mentioned last: {a} or {b}?",
        "What comes up later, {a} or {b}?",
        "Of {a} and {b}, which do we hear about second?",
        "Which is talked about afterwards: {b} or {a}?",
    ),
    "order before": (
        "Is {a} mentioned before or after {b}?",
        "Do they talk about {a} before or after {b}?",
        "Are we told about {a} before or after {b}?",
    ),
    "order caption": (
        "Which caption appears first: {a} or {b}?",
        "Which of the signs is shown earlier, {a} or {b}?",
        "What is displayed first, '{a}' or '{b}'?",
        "Which text comes first on screen: {a} or {b}?",
    ),
    "order slide": (
        "Which slide comes first: {a} or {b}?",
        "Which slide is shown earlier, '{a}' or '{b}'?",
        "Of the slides {a} and {b}, which one is first?",
    ),
    "count slides": (
        "How many slides are shown?",
        "How many slides does the talk have?",
        "What is the number of slides in this video?",
        "Count the slides.",
        "How many different slides do we get to see?",
    ),
    "count captions": (
        "How many different captions are shown in the whole video?",
        "How many signs or captions can be read in total?",
        "How many texts are burnt into the video?",
        "What is the total number of captions?",
        "Count the captions in the video.",
    ),
    "count sounds": (
        "How many times is {sound} heard?",
        "How often do we hear {sound}?",
    ),
    "count scenes": (
        "How many times do we visit the {place}?",
        "In how many separate scenes does the {place} appear?",
    ),
    "next said": (
        "What is the first thing said after {topic} is mentioned?",
        "What does the voice say right after '{quote}'?",
        "After they talk about {topic}, what is said next?",
        "Which sentence follows the one about {topic}?",
        "What comes after the words '{quote}'?",
    ),
    "previous said": (
        "What is the last thing said before {topic} is mentioned?",
        "What does somebody say right before '{quote}'?",
        "Before the speaker gets to {topic}, what is said?",
        "Which sentence comes just before the one about {topic}?",
    ),
    "first said": (
        "What is the first thing that is said in the video?",
        "What are the very first words spoken?",
        "With which sentence does the narration begin?",
    ),
    "last said": (
        "What is the last thing that is said?",
        "What are the final words of the narration?",
        "Which sentence is spoken last?",
    ),
    "next caption": (
        "Which caption is the next one after {sign}?",
        "What caption follows {sign}?",
        "Which text appears on screen after '{sign}'?",
        "After the sign {sign}, which one is shown next?",
    ),
    "previous caption": (
        "Which caption comes right before {sign}?",
        "What was written on screen just before the caption {sign}?",
        "Which sign is shown before {sign}?",
    ),
    "next slide": (
        "Which slide follows '{slide}'?",
        "What is the title of the slide after {slide}?",
        "Which slide comes next after '{slide}'?",
    ),
    "previous slide": (
        "Which slide comes right before '{slide}'?",
        "What is the slide before {slide} called?",
        "Which slide precedes '{slide}'?",
    ),
    "next scene": (
        "Which scene comes right after the {place}?",
        "Where do we go after the {place}?",
    ),
    "image": (
        "When does this place or object appear in the video?",
        "When do we see this?",
        "Where in the video is this place?",
        "At what time was this shown?",
        "Find this scene.",
        "Have we been here, and when?",
        "When does the camera look at this?",
        "Is this in the video? When?",
    ),
    "unseen": (
        "When is {thing} shown?",
        "At what time do we see {thing}?",
        "When does {thing} appear?",
        "Where in the video is {thing}?",
    ),
    "unheard": (
        "When is {sound} heard?",
        "At what time can you hear {sound}?",
        "How many times is {sound} heard?",
    ),
}

UNSAID = (
    "to be or not to be",
    "one small step for a man",
    "the quick brown fox",
    "we shall fight on the beaches",
    "happy birthday to you",
    "please fasten your seat belts",
    "once upon a time",
    "the patient is ready for surgery",
)
UNSEEN = (
    "a horse race",
    "an elephant",
    "a snow storm",
    "a football match",
    "a rocket launch",
    "a wedding cake",
    "a tiger",
)
UNHEARD = ("a baby crying", "a gunshot", "thunder", "a piano", "applause", "a cow mooing")

REFUSALS = ("never", "not", "no ", "unknown", "cannot")
"""Typical wording of a refusal; what is scored is whether the answer abstains."""
