"""Everyday names: what a model that knows many pictures and sounds is asked for, to put them into words."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.replace("\n", ",").split(",") if name.strip())


THINGS = _names("""
    person, man, woman, child, baby, crowd, dog, cat, bird, horse, cow, sheep, fish, rabbit, insect
    car, truck, bus, train, bicycle, motorcycle, boat, airplane, robot, robot arm, drone, stroller, wheelchair
    mug, cup, glass, bottle, plate, bowl, fork, knife, spoon, pan, pot, kettle, toaster, oven, microwave, refrigerator
    coffee machine, sink, dishwasher, washing machine, food, bread, apple, banana, orange, cake, pizza, sandwich, salad
    table, desk, chair, sofa, bed, pillow, blanket, shelf, cupboard, drawer, door, window, curtain, mirror, carpet, lamp
    clock, picture frame, vase, flower, potted plant, tree, grass, candle, fireplace, stairs, ladder, box, basket, bin
    laptop, computer, keyboard, computer mouse, monitor, television, remote control, phone, tablet, camera, headphones
    loudspeaker, cable, printer, book, newspaper, notebook, pen, pencil, scissors, paper, whiteboard, poster, sign
    bag, backpack, handbag, suitcase, umbrella, hat, glasses, shoe, coat, shirt, dress, tie, glove, key, wallet, watch
    ball, toy, teddy bear, doll, kite, skateboard, guitar, piano, drum, violin, tool, hammer, screwdriver, drill, rope
    toothbrush, towel, soap, toilet, bathtub, shower, iron, vacuum cleaner, broom, bucket, hose, street, traffic light
    building, bridge, fence, bench, fountain, snow, water, fire, smoke, sky, mountain, beach
""")
COLOURS = _names("red, orange, yellow, green, blue, purple, pink, brown, black, white, grey")
ROOMS = _names("""
    kitchen, living room, bedroom, bathroom, dining room, hallway, office, garage, cellar, attic, garden, balcony
    staircase, classroom, meeting room, workshop, laboratory, warehouse, shop, supermarket, restaurant, cafe, library
    hospital, gym, station, street, park, forest, beach, car interior
""")
SOUNDS = _names("""
    speech, laughter, a baby crying, applause, footsteps, coughing, singing, music, piano, guitar, drums
    a dog barking, a cat meowing, a bird singing, a rooster crowing, insects buzzing, a doorbell, a knock on a door
    a door closing, a ringing phone, an alarm, a smoke detector beeping, a siren, a car horn, an engine, a car passing
    a train, an airplane, a helicopter, a church bell, a whistle, water running, rain, wind, thunder, waves
    fire crackling, glass breaking, dishes clattering, frying, a kettle, a vacuum cleaner, a washing machine, a drill
    hammering, sawing, keyboard typing, paper rustling, a clock ticking, an explosion, a gunshot, fireworks
""")
NO_THING = ("nothing", "an empty room", "a blurred picture", "a wall", "darkness")
NO_SOUND = ("silence", "background noise", "hiss and hum")
"""Entries that nothing is said for: what would otherwise be forced into a name."""
