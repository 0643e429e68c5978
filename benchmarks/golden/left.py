"""The golden vectors that no operator matches: who takes them, or why they are left."""

LEFT = {
    "lerobot_wire.json": "later: LeRobot's protocol",
    "m3_videograph.json": "later: M3-Agent's graph of who is who",
    "omnilive.npz:projector_out_identity_mlp": "later: OmniLive's projector is its encoder's, not a memory's",
}
"""file, or file:array -> the reason."""
