"""How people ask about a day that they wore a camera: several phrasings of each kind of question."""

from __future__ import annotations

ASKING: dict[str, tuple[str, ...]] = {
    "what colour": (
        "What colour was the {kind} in the {room}?",
        "Which colour did the {kind} in the {room} have?",
        "What was the colour of the {kind} that I saw in the {room}?",
    ),
    "what beside": (
        "What did I see beside the {thing} in the {room}?",
        "What else could be seen in the {room} next to the {thing}?",
        "Which things were shown together with the {thing} in the {room}?",
    ),
    "what at": ("What did I see at {time}?", "What was in view at {time}?", "What could be seen at {time}?"),
    "what doing": (
        "What was the {thing} doing in the {room}?",
        "What did I see the {thing} do in the {room}?",
    ),
    "what sign": (
        "What did the sign in the {room} say?",
        "What was written on the sign in the {room}?",
        "What could I read in the {room}?",
    ),
    "where": (
        "Where was the {thing}?",
        "Where did I see the {thing}?",
        "In which room was the {thing}?",
        "Which room did I see the {thing} in?",
    ),
    "where last": (
        "Where did I last see the {thing}?",
        "Where was the {thing} the last time I saw it?",
        "In which room was the {thing} seen last?",
    ),
    "where sound": (
        "Where was I when I heard {sound}?",
        "In which room did I hear {sound}?",
        "Which room was I in while {sound} could be heard?",
    ),
    "where at": ("Which room was I in at {time}?", "Where was I at {time}?", "What room did I see at {time}?"),
    "when thing": (
        "When did I see the {thing}?",
        "At what time was the {thing} in view?",
        "When could the {thing} be seen?",
        "Find the moment with the {thing}.",
    ),
    "when thing room": (
        "When was the {thing} in the {room}?",
        "When did I see the {thing} in the {room}?",
        "At what time was the {thing} to be seen in the {room}?",
    ),
    "when sign": (
        "When did I pass the sign '{sign}'?",
        "When could the sign {sign} be read?",
        "At what time did the words '{sign}' appear?",
    ),
    "when sound": (
        "When did I hear {sound}?",
        "At what time could {sound} be heard?",
        "When was there the sound of {sound}?",
    ),
    "sound at": (
        "Which sound was heard at {time}?",
        "What did I hear at {time}?",
        "What sound was there at {time}?",
    ),
    "sound room": (
        "Which sound did I hear in the {room}?",
        "What sound was heard while I was in the {room}?",
        "What could be heard in the {room}?",
    ),
    "sound after": (
        "Which sound came right after {sound}?",
        "What sound did I hear next after {sound}?",
        "Which sound was heard directly after {sound}?",
    ),
    "speech topic": (
        "What was said about {topic}?",
        "What did the voice say about {topic}?",
        "What did I hear about {topic}?",
    ),
    "speech when": (
        "When was {topic} mentioned?",
        "When did somebody talk about {topic}?",
        "At what time did the voice mention {topic}?",
    ),
    "speech room": (
        "What was said while I was in the {room}?",
        "What did the voice say while I was in the {room}?",
    ),
    "order thing": (
        "Which did I see first: the {a} or the {b}?",
        "What was seen earlier, the {a} or the {b}?",
        "Which appeared first, the {a} or the {b}?",
    ),
    "order before": (
        "Did I see the {a} before or after the {b}?",
        "Was the {a} seen before or after the {b}?",
    ),
    "order sound": (
        "Which did I hear first: {a} or {b}?",
        "Which sound came first, {a} or {b}?",
    ),
    "order topic": (
        "Which was mentioned first: {a} or {b}?",
        "What did the voice speak about earlier, {a} or {b}?",
    ),
    "order sign": (
        "Which sign did I see first: '{a}' or '{b}'?",
        "Which sign was shown earlier, '{a}' or '{b}'?",
    ),
    "count sound": (
        "How many times did I hear {sound}?",
        "How often was {sound} heard?",
        "How many times could {sound} be heard?",
    ),
    "count room": (
        "How many times did I see the {room}?",
        "How often was the {room} shown?",
        "How many times was the {room} seen?",
    ),
    "count figure": (
        "How many times did I see the {thing}?",
        "How often did the {thing} appear?",
    ),
    "count signs": ("How many signs were shown?", "How many signs did I see in all?"),
    "never thing": (
        "When did I see the {thing}?",
        "Where was the {thing}?",
        "In which room did I see the {thing}?",
    ),
    "never thing room": (
        "When did I see the {thing} in the {room}?",
        "At what time was the {thing} in the {room}?",
    ),
    "never sound": ("When did I hear {sound}?", "How many times could {sound} be heard?"),
    "never room": ("When did I see the {room}?", "When was the {room} in view?"),
    "never sign": ("When could the sign {sign} be read?", "When did I pass the sign '{sign}'?"),
}

REFUSALS = ("never", "not", "no ")
