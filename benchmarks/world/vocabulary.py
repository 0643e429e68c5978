"""What the world holds and what people call it: names, synonyms of training, synonyms held out for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Term:
    """One thing of the vocabulary."""

    name: str
    trained: tuple[str, ...] = ()
    """Other names that training captions use too."""
    held: tuple[str, ...] = ()
    """Names that no training caption ever uses: tests ask with them.

    Of what people say those were taken that the locked text tower itself takes for the same thing: it is the eye that
    is tested, not MiniLM's lexicon, in which a settee is nearer to a shoe than to a sofa.
    """

    @property
    def known(self) -> tuple[str, ...]:
        """Every name that training captions use."""
        return (self.name, *self.trained)


def _terms(lines: str) -> Mapping[str, Term]:
    """Lines of `name | trained, .. | held, ..`."""
    terms = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, trained, held = ([word.strip() for word in part.split(",") if word.strip()] for part in line.split("|"))
        terms[name[0]] = Term(name[0], tuple(trained), tuple(held))
    return MappingProxyType(terms)


COLOURS = _terms("""
    red     | bright red                   | cherry red, reddish
    orange  | bright orange                | tangerine orange, orangey
    yellow  | bright yellow                | lemon yellow, yellowish
    green   | bright green                 | emerald green, greenish
    blue    | bright blue                  | cobalt blue, bluish
    purple  | violet                       | deep purple, purple-coloured
    pink    | bright pink                  | rose pink, pinkish
    brown   | dark brown                   | chocolate brown
    white   | pure white                   | snow white
    black   | jet black                    | pitch black
""")

KINDS = _terms("""
    ball     | rubber ball                 | toy ball
    box      | cardboard box               | packing box, moving box
    bottle   | glass bottle                | flask
    mug      | cup                         | coffee mug
    book     | hardback book               | novel
    chair    | wooden chair                | dining chair
    table    | wooden table                | dining table
    lamp     | table lamp                  | desk lamp
    sofa     | couch                       | sofa with cushions
    bed      | single bed                  | cot
    clock    | wall clock                  | timepiece
    key      | door key                    | house key
    shoe     | leather shoe                | sneaker
    hat      | felt hat                    | top hat
    umbrella | open umbrella               | rain umbrella
    guitar   | acoustic guitar             | classical guitar
    bicycle  | bike                        | pushbike
    car      | toy car                     | automobile
    boat     | toy boat                    | sailing boat
    plant    | potted plant                | houseplant
    flower   | blossom                     | blooming flower
    tree     | little tree                 | fir tree
    fish     | toy fish                    | goldfish
    bird     | little bird                 | parrot
    cat      | house cat                   | kitten
    dog      | pet dog                     | puppy
    person   | figure                      | human
    phone    | mobile phone                | smartphone
    laptop   | laptop computer             | notebook computer
    vacuum   | vacuum cleaner              | hoover
    kettle   | tea kettle                  | water kettle
    ladder   | step ladder                 | folding ladder
""")
"""What stands in rooms, lies about or walks through them."""

ALIVE = ("bird", "cat", "dog", "person")
"""Kinds that come and go by themselves."""

ROOMS = _terms("""
    kitchen     | cooking area                 | kitchenette, room for cooking
    bedroom     | sleeping room                | bedchamber, room with the bed
    bathroom    | shower room                  | room with the bath
    garden      | back garden                  | yard
    garage      | car garage                   | garage for the car
    office      | home office                  | office space, workroom with a desk
    library     | reading room                 | room full of books, room with the bookshelves
    workshop    | tool workshop                | crafts workshop
    hallway     | corridor                     | entrance hall
    living room | lounge                       | family room
    nursery     | playroom                     | children's room
    cellar      | basement                     | wine cellar
""")

SIZES = _terms("""
    small | little | tiny
    large | big    | huge
""")

MATERIALS = _terms("""
    plain   | solid             | unpatterned
    striped | with stripes      | stripy
    dotted  | with dots         | spotted
    shiny   | glossy            | gleaming
""")
"""How a surface looks."""

ACTIONS = _terms("""
    standing still | waiting           | idle
    walking        | going for a walk  | strolling
    sleeping       | lying down        | napping
    jumping        | leaping           | hopping
""")
"""What figures do."""

LIGHTS = _terms("""
    day   | daylight         | daytime
    night | dark             | after dark
""")

SOUNDS = _terms("""
    bell     | ringing bell            | chiming bell
    alarm    | beeping alarm           | smoke detector beeping
    knock    | knocking                | someone knocking at a door
    glass    | breaking glass          | glass shattering
    water    | running water           | water flowing from a tap
    motor    | running motor           | engine humming
    dog      | barking dog             | dog barks
    cat      | meowing cat             | cat meows
    bird     | singing bird            | bird chirping
    music    | melody                  | tune being played
    footsteps| steps                   | someone walking on a hard floor
    siren    | wailing siren           | ambulance siren
    whistle  | whistling               | referee's whistle
    drum     | drumming                | drum beat
""")

SHARE_HELD = 5
"""One combination of colour, kind and room in so many is never drawn for training (`captions.held_out`)."""
