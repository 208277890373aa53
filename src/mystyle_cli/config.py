"""Defaults that the command line and the Python API share, with the paper's place for each."""

from __future__ import annotations

from typing import Final

BETA_INPAINT: Final = 0.02  # dilation for inpainting. Source: sec. 5.2.1
BETA_UPSCALE: Final = 0.05  # dilation for upscaling. Source: sec. 5.2.2

# dilation that an edit may use up. Source: app. B.4
BETA_RESTORE: Final = 0.05
"""Dilation for restoring damaged photos: that for upscaling."""

BETA_EDIT: Final = 0.02

# dilation for inversion: between the two enhancement tasks, where fig. 5 still shows the identity kept
BETA_INVERT: Final = 0.03

DEFAULT_PRIOR: Final = "faces"  # the domain prior in the wheel that a new profile starts from: real faces

# how often tuning sees every photo; PTI's 1000 (B.3) are for one photo a step at a constant rate of Adam
TUNE_PASSES: Final = 15

TUNE_BATCH: Final = 6  # photos a step of tuning; 4 to 8 are about as good, for the same passes

# highest rate of tuning: the best of 5e-3, 1e-2, 1.4e-2 and 2e-2 in runs of 15 passes, six photos a step
TUNE_RATE: Final = 1e-2

MOST_VARIANTS: Final = 32  # answers to one photo

FACE_PARTS: Final = (
    "eyes",
    "right-eye",
    "left-eye",
    "brows",
    "glasses",
    "nose",
    "mouth",
    "moustache",
    "beard",
    "chin",
    "cheeks",
    "forehead",
    "face",
)
"""Parts of a face that can be filled by name; right and left are the person's own."""

EARLIEST_YEAR: Final = 1826
"""In which a photo may have been taken; of it is the first that is left."""

LATEST_YEAR: Final = 2100
