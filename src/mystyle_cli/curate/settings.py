"""The thresholds of curation, each with what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CurateSettings:
    """When a photo is refused. Faces are measured on their FFHQ square, whatever crop the prior takes."""

    smallest_face: float = 0.75  # least side of the FFHQ square on the photo, over the prior's resolution
    # least spread of colour about the tone curve, in Lab units: toned prints reach 1.9, others 3
    least_colour: float = 2.4
    # least energy at 1-2 pixels over that at 2-4, where the FFHQ square has the prior's resolution: good
    # photos have 0.4 to 0.9, blurred ones 0.2
    least_sharpness: float = 0.30
    darkest: float = 20.0  # least median brightness of the face, of 255
    brightest: float = 242.0  # largest median brightness of the face, of 255
    least_contrast: float = 6.0  # least standard deviation of brightness over the face, of 255
    largest_yaw: float = 45.0  # degrees to either side; beyond it one eye is hidden
    largest_pitch: float = 35.0  # degrees up or down
    largest_cover: float = 0.36  # largest share of a part of the face that is not skin, see `checks.cover`
    least_eyes: float = 0.3  # least contrast and brightness of the clearer eye, see `checks.eyes`
    # largest hidden share of the nose or the mouth, where the prior has a net that tells, see
    # `cover.hidden_parts`; the two limits above are then not asked
    largest_hidden: float = 0.55
    # the same for both eyes together, the mean of the two: one eye alone never exceeds it
    largest_hidden_eyes: float = 0.5
    # the same for one eye or cheek alone: hair falls over it, and a turned head hides much of one
    largest_hidden_side: float = 0.9
    largest_cut: float = 0.1  # largest share of the landmarks that may lie outside the photo
    # similarity from which two faces count as one person's, where the photos show no clearer gap
    same_person: float = 0.45
    slack: float = 0.3  # how far below the person's other faces one may score
    slack_dlib: float = 0.12  # the same where only dlib judges, to which rendered strangers look alike
    # identity cosine above which two photos may be duplicates (paper, app. A.1)
    duplicate_identity: float = 0.9
    # largest difference of the 256-bit perceptual hashes of duplicates on the FFHQ square, see
    # `duplicates.most_bits`: copies that were compressed, resized or brightened differ by 22 at most, other
    # photos of a person by 30 at least
    duplicate_bits: int = 29
    faces_looked_at: int = 4  # faces of one photo that are considered, the largest first
    held_out: float = 0.1  # share of the kept photos that is held out, once there are ten
