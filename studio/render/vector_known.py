"""What Vector's programs know of a studio: VRL that sets variables to what the inventory says, a kind of topic each."""

from studio.model import Studio
from studio.render.vrl import Value, assignments


def known(studio: Studio) -> dict[str, str]:
    """The programs `known_<kind>`, by name."""
    furnaces: dict[str, Value] = {f.id: {"label": f.title, "unit": f.unit} for f in studio.furnaces}
    cameras: dict[str, Value] = {c.id: {"label": c.title} for c in studio.cameras}
    plants: dict[str, Value] = {p.id: {"label": p.title} for p in studio.plants}
    kinds = {
        "furnace": (furnaces, "furnace_temp"),
        "flame": (furnaces, "flame_voltage"),
        "camera": (cameras, ""),
        "plant": (plants, ""),
    }
    comment = f"What the inventory of studio {studio.name} says."
    programs = {
        f"known_{kind}": assignments(
            comment,
            {
                "studio": studio.name,
                "id_level": getattr(studio.topics, kind).split("/").index("{id}"),
                "bare": bare,
                "time_field": "ts",
                "devices": devices,
            },
        )
        for kind, (devices, bare) in kinds.items()
    }
    canary = assignments(comment, {"studio": studio.name, "bare": "", "time_field": "sent"})
    return {**programs, "known_canary": canary}
