"""What can be chosen, by the names that users, jobs and rooms share."""

from typing import Literal

Engine = Literal["auto", "onnx", "torch"]
StemSet = Literal["two", "four", "six"]
StemFormat = Literal["wav", "flac", "mp3"]
StemSubtype = Literal["pcm16", "pcm24", "float"]
SAMPLE_BYTES: dict[StemSubtype, int] = {"pcm16": 2, "pcm24": 3, "float": 4}
ClipMode = Literal["rescale", "clamp", "none"]
Gate = Literal["auto", "off"]
Quality = Literal["exact", "balanced", "fast"]
QualityChoice = Literal["auto", "exact", "balanced", "fast"]
Device = Literal["auto", "cpu", "cuda", "mps", "coreml"]
AsrAudio = Literal["auto", "mix", "vocals", "blend"]
Script = Literal["native", "latin", "any"]
Container = Literal["mkv", "mp4"]
ContainerChoice = Literal["auto", "mkv", "mp4"]
