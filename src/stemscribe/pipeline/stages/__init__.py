"""The stages, by name."""

from __future__ import annotations

from importlib import import_module

from stemscribe.pipeline.stage import Stage

_CLASSES = {
    "demux": "Demux",
    "source_separation": "SourceSeparation",
    "speech_detection": "SpeechDetection",
    "asr": "Asr",
    "export": "Export",
    "translation": "Translate",
    "export_translation": "ExportTranslation",
    "mux": "Mux",
}


def stage_named(name: str) -> Stage:
    """A stage by its name; its module is imported when it is first asked for."""
    module = import_module(f"{__name__}.{name}")
    stage: Stage = getattr(module, _CLASSES[name])()
    return stage
