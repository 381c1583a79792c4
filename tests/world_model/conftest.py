"""Models with random weights that several folders of tests use."""

from pathlib import Path

import pytest

MODEL_SIDE = 64


@pytest.fixture(scope="session")
def sam2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SAM 2 video classes with small numbers and random weights, saved as transformers does."""
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

    sizes = [[MODEL_SIDE // stride] * 2 for stride in (4, 8, 16)]
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[MODEL_SIDE, MODEL_SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=sizes,
        fpn_hidden_size=128,
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": MODEL_SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=MODEL_SIDE, num_maskmem=3, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=sizes[-1],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Sam2VideoModel(config)
    with torch.no_grad():
        # Random weights say half of the time that there is no object at all; these always see one.
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    folder = tmp_path_factory.mktemp("sam2") / "tiny"
    model.save_pretrained(folder)
    return folder
