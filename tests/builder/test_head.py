"""A head of the caller's own on a backbone, as one artifact."""

import pytest
import torch
from torch import nn

from mnv4_mobile import Options, build, load, verify
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.program.head import export_head, load_head, with_head
from mnv4_mobile.testing import tiny_model

OPTIONS = Options(name="detector", size=(32, 32), outputs=("stage_2", "stage_3"))


class Detector(nn.Module):
    """A block of its own on one map, boxes from two, and a mask."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU6()
        )
        self.boxes = nn.ModuleList((nn.Conv2d(32, 24, 1), nn.Conv2d(336, 24, 1)))
        self.block[1].running_var.uniform_(0.5, 2)
        self.block[1].running_mean.normal_()

    def forward(self, maps):
        near = self.block(maps["stage_2"])
        found = [conv(x) for conv, x in zip(self.boxes, (near, maps["stage_3"]), strict=True)]
        rows = [x.permute(0, 2, 3, 1).reshape(len(x), -1, 8) for x in found]
        return {"boxes": torch.cat(rows, 1), "mask": torch.sigmoid(found[0])}


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return Detector()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("head")


@pytest.fixture(scope="module")
def bundles(folder, head):
    return build("demo", out=folder, targets=["tflite", "coreml"], options=OPTIONS, head=head)


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("coreml")
def test_backbone_and_head_are_one_verified_artifact(bundles):
    assert [bundle.path.name for bundle in bundles] == [
        f"detector-32x32-fp32-stage_2-stage_3-head-{target}" for target in ("tflite", "coreml")
    ]
    for bundle, mask in zip(bundles, ((1, 2, 2, 24), (1, 24, 2, 2)), strict=True):
        assert {o.name: (o.kind, o.shape) for o in bundle.outputs} == {
            "boxes": ("boxes", (1, 15, 8)),
            "mask": ("mask", mask),
        }
        assert min(parity.sqnr_db for parity in verify(bundle)["cpu"].values()) > 100
        assert bundle.convolutions[-3:] == [
            "own_head.block.0",
            "own_head.boxes.0",
            "own_head.boxes.1",
        ]
    with pytest.raises(ConfigError, match="has a head of your own, which"):
        verify(bundles[0], "demo")
    with load(bundles[0]) as model:
        picture = random_images(bundles[0].preprocess, 1, seed=5)[0]
        found = model.run([picture] * 3)["boxes"]
        assert found.shape == (3, 15, 8)
        with pytest.raises(ConfigError, match="has no class output"):
            model.classify([picture])


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("coreml")
def test_a_head_is_an_ingredient(bundles, folder, head):
    again = {"out": folder, "targets": ["tflite"], "options": OPTIONS}
    (same,) = build("demo", **again, head=head)  # the head exports to the same bytes
    assert same.manifest.ingredients == bundles[0].manifest.ingredients
    with pytest.raises(ConfigError, match="made of other ingredients: head"):
        build("demo", **again, head=Detector())


def spec(batch=2):
    return BuildSpec(
        model=tiny_model(),
        preprocess=Preprocess(
            size=(32, 32), crop=1, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
        batch=batch,
        outputs=("stage_0", "embedding"),
    )


class Taking(nn.Module):
    """A head that computes what a function says."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleDict(modules)

    def forward(self, maps):
        return self.function(self, maps)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _, m: m["stage_0"], "returned Tensor, must return a dict"),
        (lambda _, m: {}, "returned dict, must return"),
        (lambda _, m: {"Boxes": m["stage_0"]}, "output 'Boxes': must be lower-case letters"),
        (lambda _, m: {"image": m["stage_0"]}, "output 'image': must be"),
        (
            lambda _, m: {"a": m["stage_0"].int()},
            "output a: found torch.int32, must be a",
        ),
        (lambda _, m: {"a": [m["stage_0"]]}, "output a: found list, must be a tensor"),
        (
            lambda _, m: {"a": m["stage_0"].sum()},
            r"a: found shape \[\], must be a batch of 2",
        ),
        (
            lambda _, m: {"a": m["stage_0"][:1]},
            r"shape \[1, 16, 8, 8\], must be a batch of 2",
        ),
        (
            lambda _, m: {"a": m["stage_7"]},
            r"cannot be exported for stage_0 \[2, 16, 8, 8\], embedding \[2, 40\]: KeyError",
        ),
        (lambda _, m: {"a": m["stage_0"][m["stage_0"] > 0][None]}, "must be a batch|cannot be exp"),
    ],
)
def test_what_no_artifact_can_return_is_refused(function, message):
    with pytest.raises(ConfigError, match=f"^head: .*{message}"):
        export_head(Taking(function), spec())


def test_norms_are_folded_where_that_is_exact():
    """A convolution that two norms read stays as it is."""

    def forward(self, maps):
        shared = self.parts["shared"]
        x = self.parts["norm"](self.parts["conv"](maps["stage_0"]))
        return {"a": self.parts["one"](shared(x)) + self.parts["two"](shared(x)), "b": x}

    torch.manual_seed(0)
    norms = {name: nn.BatchNorm2d(16) for name in ("norm", "one", "two")}
    for norm in norms.values():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    convolutions = {"conv": nn.Conv2d(16, 16, 3, bias=False), "shared": nn.Conv2d(16, 16, 1)}
    head = Taking(forward, **norms, **convolutions).eval()
    exported = export_head(head, spec())
    assert exported.outputs == ("a", "b")
    found = load_head(exported)
    assert sum("running_mean" in name for name, _ in found.named_buffers()) == 2
    maps = {"stage_0": torch.randn(5, 16, 8, 8)}
    net = Taking(lambda _, x: {"stage_0": x, "embedding": x.new_zeros(2, 40)})
    with torch.no_grad():
        expected = head(maps)
        # More images than a batch, and not a multiple of it.
        got = with_head(net, found, batch=2)(maps["stage_0"])
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=1e-4, rtol=1e-4)
