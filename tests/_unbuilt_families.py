"""Families of transformers that a small config does not build, or that differ otherwise."""

# They need packages, inputs or sizes that fit each other, which no rule for all knows.
_UNBUILT = """
    align audio-spectrogram-transformer audioflamingo3_encoder autoformer axk1 bamba bark blip-2
    blip_2_qformer blt bridgetower bros chameleon clap clvp codegen cohere_compass
    cohere_compass_text cohere_compass_vision conditional_detr cosmos3_edge_vision csm d_fine
    dab-detr dbrx decision_transformer deepseek_ocr2 deepseek_v2 deformable_detr deimv2 depth_pro
    detr diffllama diffusion_gemma dinat donut-swin dots1 dots3_note edgetam edgetam_video
    edgetam_vision_model efficientloftr efficientnet emu3 encodec ernie4_5_moe ernie4_5_vl_moe esm
    exaone4_5_vision falcon_h1 fast_vlm fastspeech2_conformer fastspeech2_conformer_with_hifigan
    florence2 fun_asr_nano_encoder gemma3n gemma3n_audio gemma3n_text gemma3n_vision gemma4
    gemma4_text gemma4_vision glm4v_moe glm4v_moe_text glm4v_moe_vision glm4v_vision
    glm5_next_vision glm_image_vision glm_image_vqmodel glm_ocr_vision gptj granite4_vision
    granite_speech5_ctc granite_speech5_encoder granitemoehybrid grounding-dino
    higgs_audio_v2_tokenizer hunyuan_v1_dense hunyuan_v1_moe hunyuan_vl hunyuan_vl_text
    hunyuan_vl_vision idefics informer inkling2_vision instructblip instructblipvideo janus
    kimi_k25_vision kimi_linear kosmos-2 kyutai_speech_to_text layoutlmv2 layoutlmv3 levit lfm2_moe
    lfm3_vl_vision lightglue lilt longcat_flash lw_detr lxmert mamba2 mask2former maskformer-swin
    mimi mimi_decoder mimo_v2_flash minicpm_ocr_vision minicpmv4_7_vision ministral mistral4
    mm-grounding-dino mobilebert mobilevitv2 molmo2 moonshine_streaming muse_glimmer_assistant
    muse_glimmer_vision muse_spark_audio muse_spark_vision musicgen musicgen_melody nemo_speechlm
    nemotron nemotron3_5_transcribe_word_timestamp nemotron_h neomme neucodec omdet-turbo oneformer
    patchtsmixer patchtst pe_audio_video pe_audio_video_encoder pe_video pe_video_encoder perceiver
    perception_lm pi0 pocket_tts_audio_tokenizer pocket_tts_audio_tokenizer_decoder pp_doclayout_v3
    pp_doclayout_v4 pp_ocrv5_mobile_rec pp_ocrv5_server_rec pp_ocrv6_medium_det pp_ocrv6_small_det
    pp_ocrv6_small_rec pp_ocrv6_tiny_rec qwen2_5_vl_vision qwen3_5_moe_vision qwen3_5_vision
    qwen3_asr_encoder qwen3_vl_moe_vision qwen3_vl_vision qwen4_exp_vision radio reformer rf_detr
    rt_detr rt_detr_v2 sam sam2 sam2_hiera_det_model sam2_video sam2_vision_model sam3_tracker
    sam3_tracker_video sam3_video sam_hq sapiens2 seggpt sew sew-d siglip siglip2
    siglip2_vision_model speecht5 step3p7 swin swin2sr swinv2 t5gemma2_encoder table-transformer
    time_series_transformer timesfm timesfm2_5 timm_backbone timm_wrapper tvp udop uvdoc vibevoice
    vibevoice_acoustic_tokenizer vibevoice_acoustic_tokenizer_decoder
    vibevoice_acoustic_tokenizer_encoder vibevoice_asr video_llama_3_vision videoprism
    vision-text-dual-encoder vits voxtral_realtime voxtral_realtime_text xclip xcodec xcodec2 xmod
    zamba zamba2
"""
UNBUILT = frozenset(_UNBUILT.split())
# What they give depends on earlier calls.
STATEFUL: frozenset[str] = frozenset()
# What they give for a sample depends on the others.
DEPENDENT: frozenset[str] = frozenset()
