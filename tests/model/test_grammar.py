import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv4_mobile.configs import config_folder, shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.grammar import load_model, read_model
from mnv4_mobile.model.spec import ConvSpec, ModelSpec
from mnv4_mobile.yaml_file import read_yaml
from tests.blocks import fused, mmqa, uir

BARE = {
    "name": "mobilenetv4",
    "params": {
        "stem_out_channel": 8,
        "stem_kernel_size": 3,
        "stem_stride": 2,
        "final_conv_out_channel": 32,
        "final_conv_kernel_size": 1,
        "final_conv_stride": 1,
        "norm_type": "batch_norm",
        "act_type": "relu",
        "return_stage_idx": None,
        "layer_scale": 0.1,
    },
    "stage_params": [
        [["conv", 16, 3, 2], ["fi", 16, 32, 3, 1]],
        [["uir", 16, 32, True, 3, True, 5, 2], ["mmqa", 16, 32, 4, None, True, 3, 2, 1]],
    ],
}


def write(folder: Path, document, name="net.yaml") -> str:
    path = folder / name
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return str(path)


def changed(**changes):
    """The bare document with other params, or with other blocks in the last stage."""
    document = yaml.safe_load(yaml.safe_dump(BARE))
    for key, value in changes.items():
        if key == "block":
            document["stage_params"][1] = [value]
        elif key in document:
            document[key] = value
        else:
            document["params"][key] = value
    return document


# Published parameter counts; conv-small in the grammar's own document has layer scale, which adds
# one parameter a channel of its twelve uir blocks: 1,344.
PARAMS = {
    "conv-small": 3_774_024 + 1_344,
    "conv-small-035": 1_905_384,
    "conv-small-050": 2_238_952,
    **dict.fromkeys(("conv-medium", "conv-aa-medium", "conv-blur-medium"), 9_715_512),
    **dict.fromkeys(("conv-large", "conv-aa-large"), 32_590_864),
    "hybrid-medium": 11_074_648,
    "hybrid-medium-075": 7_313_528,
    "hybrid-large": 37_764_624,
    "hybrid-large-075": 22_754_984,
}
# GMACs at (size), as timm's tables give them.
GMACS = {
    "conv-small": (224, 0.19),
    "conv-medium": (224, 0.84),
    "hybrid-medium": (224, 0.98),
    "conv-large": (384, 6.43),
    "hybrid-large": (384, 7.77),
}


def test_every_shipped_model_loads_with_its_published_parameters():
    assert set(shipped("models")) == set(PARAMS)
    for name, params in PARAMS.items():
        spec = load_model(name)
        assert spec.name == name
        assert sum(row.cost.params for row in spec.table()) == params


@pytest.mark.parametrize("name", GMACS)
def test_macs_are_the_published_ones(name):
    size, giga = GMACS[name]
    macs = sum(row.cost.macs for row in load_model(name).table((size, size)))
    assert macs / 1e9 == pytest.approx(giga, rel=0.025)  # timm counts norms too


def test_the_role_comments_of_the_shipped_files_are_true():
    for name in shipped("models"):
        text = (config_folder("models") / f"{name}.yaml").read_text()
        comments = re.findall(r"- \[.*\] +# (\S+)", text)
        assert comments == [block.role for _, block in load_model(name).blocks()]


def test_the_three_forms_are_the_same_network(tmp_path):
    bare = load_model(write(tmp_path, BARE))
    enclosed = {"model": {"architecture": {"backbone": BARE}}}
    assert load_model(write(tmp_path, enclosed)) == bare
    whole = {
        "model": {
            "task": "classification",
            "name": "mine",
            "checkpoint": {"use_pretrained": True, "path": None},
            "freeze_backbone": False,
            "architecture": {
                "full": None,
                "backbone": BARE,
                "neck": None,
                "head": {
                    "name": "fc_conv",
                    "params": {
                        "num_layers": 2,
                        "intermediate_channels": 1280,
                        "act_type": "relu",
                        "norm_type": "batch_norm",
                        "dropout_prob": 0.0,
                    },
                },
            },
            "postprocessor": None,
            "losses": [{"criterion": "cross_entropy"}],
        },
        "training": {"epochs": 3},
    }
    file = read_model(write(tmp_path, whole))
    assert file.spec == bare
    assert set(file.unused) == {
        "model.task",
        "model.name",
        "model.checkpoint",
        "model.freeze_backbone",
        "model.postprocessor",
        "model.losses",
        "model.architecture.neck",
        "training",
    }


def test_a_head_of_another_kind_leaves_features_only(tmp_path):
    head = {"name": "yolox_head", "params": {"anything": 1}}
    document = {"model": {"architecture": {"backbone": BARE, "head": head}}}
    file = read_model(write(tmp_path, document))
    assert file.spec.head is None
    assert file.unused == ("model.architecture.head (yolox_head)",)
    with pytest.raises(ConfigError, match=r"'logits', allowed: embedding, stage_0, stage_1"):
        file.spec.check_outputs(("logits",))


def test_every_field_arrives(tmp_path):
    spec = load_model(write(tmp_path, changed(return_stage_idx=[0, 1], act_type="gelu")))
    assert spec.features == (0, 1)
    assert spec.act == "gelu"
    assert spec.head is not None
    assert spec.head.act == "gelu"
    assert spec.stages == (
        (
            ConvSpec(out_channels=16, kernel_size=3, stride=2),
            fused(16, 32),
        ),
        (
            uir(16, 32, 3, 5, 2),
            mmqa(16, 32, 4, None, 3),
        ),
    )


BAD_BLOCKS = [
    (["uri", 16, 32, True, 3, True, 5, 2], r"must be a list that begins with one of: conv"),
    (["uir", 16, 32, True, 3, True, 5], r"uir: found 6 values, must be 7: out_channels, hidden"),
    (["uir", 16, 32, True, 3, True, 5, "2"], r"uir: stride: found '2', must be a whole number"),
    (["uir", 16, 32, 1, 3, True, 5, 2], r"uir: extra_dw: found 1, must be true or false"),
    (["uir", 16, True, True, 3, True, 5, 2], r"hidden_channels: found True, must be a whole"),
    (["uir", 16, 32, True, None, True, 5, 2], r"extra_dw_kernel_size: found ~, must be a whole"),
    (["uir", 16, 32, False, 3, True, 5, 2], r"extra_dw_kernel_size: found 3, must be ~"),
    (["uir", 16, 32, True, 4, True, 5, 2], r"extra_dw_kernel_size: found 4, must be odd"),
    (["uir", 16, 32, False, None, False, None, 2], r"stride: found 2, must be 1 in a uir without"),
    (
        ["uir", 0, 32, True, 3, True, 5, 2],
        r"out_channels: found 0, must be a whole number, 1",
    ),
    (["conv", 16, 3, 0], r"stride: found 0, must be a whole number, 1 or more"),
    (["conv", 16, 2, 1], r"kernel_size: found 2, must be odd"),
    (["fi", 16, 3, 1], r"fi: found 3 values, must be 4"),
    (["mmqa", 16, 30, 4, None, False, None, None, 1], r"attention_channel: found 30, must be a m"),
    (["mmqa", 16, 32, 4, None, False, None, None, 2], r"mmqa: stride: found 2, allowed: 1"),
    (["mmqa", 24, 32, 4, None, False, None, None, 1], r"found 24, must equal the 16 channels"),
    (
        ["mmqa", 16, 32, 4, 1, False, None, None, 1],
        r"query_pooling_stride: found 1, must be a wh",
    ),
    (["mmqa", 16, 32, 4, None, True, 3, None, 1], r"key_val_downsample_stride: found ~"),
    ("conv", r"must be a list that begins"),
]


@pytest.mark.parametrize(("block", "message"), BAD_BLOCKS)
def test_a_bad_block_is_named_with_its_place(tmp_path, block, message):
    path = write(tmp_path, changed(block=block))
    with pytest.raises(ConfigError, match=message) as error:
        load_model(path)
    assert str(error.value).startswith(path)
    assert "stage 1, block 0" in str(error.value)


BAD_KEYS = [
    ({"act_type": "prelu"}, r"act_type: found 'prelu', did you mean relu\? allowed: relu"),
    (
        {"norm_type": "instance_norm"},
        r"norm_type: found 'instance_norm', allowed: batch_norm",
    ),
    ({"layer_scale": "big"}, r"layer_scale: found 'big', must be a number"),
    ({"aa_layer": "blur"}, r"aa_layer: found 'blur', .*allowed: avg, blurpc"),
    (
        {"aa_layer": "avg", "block": ["conv", 16, 3, 4]},
        r"stage 1, block 0: stride: found 4, must be 1 or 2 in a network with aa_layer",
    ),
    (
        {"aa_layer": "avg", "final_conv_stride": 3},
        r"final: stride: found 3, must be 1 or 2 in a network with aa_layer",
    ),
    ({"stem_stride": 0}, r"params\.stem_stride: found 0"),
    ({"stem_kernel_size": 4}, r"stem: kernel_size: found 4, must be odd"),
    ({"final_conv_out_channel": None}, r"final_conv_out_channel: found ~"),
    ({"return_stage_idx": [2]}, r"return_stage_idx: found 2, allowed: 0 to 1"),
    ({"return_stage_idx": [1, 1]}, r"return_stage_idx: found a stage twice"),
    ({"return_stage_idx": 1}, r"return_stage_idx: found 1, must be a list"),
    ({"surprise": 1}, r"params\.surprise: unknown key, allowed: stem_out_channel"),
    ({"name": "mobilenetv3"}, r"name: found 'mobilenetv3', .*mobilenetv4"),
    ({"stage_params": []}, r"stage_params: found \[\], must be a list of one or more stages"),
    ({"stage_params": [[]]}, r"stage 0: found \[\], must be a list of one or more"),
    ({"stage_params": 3}, r"stage_params: found 3, must be a list of one or more stages"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_KEYS)
def test_a_bad_key_is_named(tmp_path, changes, message):
    path = write(tmp_path, changed(**changes))
    with pytest.raises(ConfigError, match=message) as error:
        load_model(path)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"found ~, must be a mapping"),
        ("- 1", r"must be a mapping"),
        ("a: [", r"not a plain YAML file"),
        ("a: !!python/object/apply:os.system ['true']", r"line 1: found the tag"),
        ("a: !mine 3", r"line 1: found the tag !mine"),
        ("a: 1\na: 2", r"a key occurs twice"),
        ("a: &x [*x]", r"an alias contains itself"),
        ("\x00", r"not a plain YAML file"),
        ("a: " + "[" * 3000 + "]" * 3000, r"nested more than 30 deep"),
        ("name: mobilenetv4\nparams: {}\n", r"params\.stem_out_channel: missing"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_model(write(tmp_path, text))


def test_an_alias_bomb_is_refused_before_it_grows(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match="once aliases are expanded"):
        read_yaml(Path(write(tmp_path, "\n".join(lines))))


def test_a_file_that_is_not_there_or_a_name_that_is_not_shipped():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_model("nowhere.yaml")
    with pytest.raises(ConfigError, match=r"model: found 'conv-tiny', allowed: conv-aa-.*yaml"):
        load_model("conv-tiny")


PROPERTY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers(-3, 70) | st.text(max_size=4) | st.floats(0, 1)
BLOCKS = st.lists(st.sampled_from(["conv", "fi", "uir", "mmqa"]) | SCALARS, max_size=10)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stages=st.lists(st.lists(BLOCKS | SCALARS, max_size=3) | SCALARS, max_size=3))
def test_any_stage_list_is_a_network_or_a_config_error(tmp_path, stages):
    path = write(tmp_path, changed(stage_params=stages))
    try:
        found: object = load_model(path)
    except ConfigError as error:
        found = str(error)
    assert isinstance(found, ModelSpec) or found.startswith(path)


KERNELS = st.sampled_from([None, 1, 3, 5])
UIRS = st.tuples(st.integers(1, 8), st.integers(1, 16), KERNELS, KERNELS, st.integers(1, 2)).filter(
    lambda u: u[4] == 1 or u[2] or u[3]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(UIRS, min_size=1, max_size=4))
def test_a_valid_uir_survives_the_way_through_yaml(tmp_path, blocks):
    rows = [
        ["uir", out, hidden, extra is not None, extra, middle is not None, middle, stride]
        for out, hidden, extra, middle, stride in blocks
    ]
    document = changed(stage_params=[rows])
    document["input_size"] = 256
    spec = load_model(write(tmp_path, document))
    assert [
        (b.out_channels, b.hidden_channels, b.extra_kernel_size, b.middle_kernel_size, b.stride)
        for _, b in spec.blocks()
    ] == blocks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stage_params": [[["conv", 10**9, 3, 2]]]},
            "stage 0, block 0: found a map of 1000000000",
        ),
        ({"stage_params": [[["conv", 8, 10**9 + 1, 2]]]}, "parameters, at most 500000000"),
        ({"stage_params": [[["fi", 8, 10**9, 3, 2]]]}, "stage 0, block 0: found a map of 10000"),
        ({"stage_params": [[["conv", 8, 3, 10**9]]]}, "multiples of"),
        ({"stage_params": [[["conv", 0, 3, 1]]]}, "out_channels: found 0"),
        ({"stage_params": [[["conv", -8, 3, 1]]]}, "out_channels: found -8"),
        ({"stage_params": [[["conv", 12_000, 3, 2]] * 4]}, "parameters, at most 500000000"),
    ],
)
def test_networks_that_would_take_gigabytes_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=rf"net\.yaml: .*{message}"):
        load_model(write(tmp_path, changed(**changes)))


@pytest.mark.parametrize("size", [10**6, 16384, -32, 0])
def test_input_sizes_that_would_take_gigabytes_are_refused(tmp_path, size):
    message = "input_size: found" if size != 16384 else r"stem: found a map of \d+ x 8192 x 8192"
    with pytest.raises(ConfigError, match=rf"net\.yaml: {message}"):
        load_model(write(tmp_path, {**BARE, "input_size": size}))
